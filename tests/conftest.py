"""What every test may use: the grammar checker around responders is `lmos.model.grammar`."""
