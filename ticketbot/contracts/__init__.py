"""File formats that cross between the service and the trainer. Versioned; standard library only."""
