"""What fields are: their declaration, the rules from text to level, vocabularies and the schema."""
