"""What `ticketbot doctor` looks at, a file a subject. A check yields findings and changes nothing."""
