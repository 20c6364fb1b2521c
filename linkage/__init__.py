"""Which mentions are one person: standardise, block, score, guard, cluster, and ids that last."""
