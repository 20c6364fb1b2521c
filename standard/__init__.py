"""The common schema every agency is mapped to: entities, code sets, how declarations are read, how errors speak."""
