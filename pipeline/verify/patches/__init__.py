"""The parts of the verifier `patch`: search/replace edits, unified diffs, and their similarity."""
