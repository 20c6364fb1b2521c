"""Who may receive what, why and until when: agreements, consents and the decisions that follow; docs/governance.md."""
