"""The command line: each command parses its words and calls one public function of ``brainnet.run``."""
