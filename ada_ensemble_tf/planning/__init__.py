"""What a training would take on devices that are not at hand: bytes in memory and on the wire."""
