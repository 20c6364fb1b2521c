"""The commands of `kith`, by topic; each only asks the stages and says their answer."""
