"""The parts of the verifier `tool_call`: reading calls in three syntaxes, and comparing them."""
