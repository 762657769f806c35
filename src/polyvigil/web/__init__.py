"""What every program of ours that listens shares: Host names, limits of requests, refusals, the server and its end."""
