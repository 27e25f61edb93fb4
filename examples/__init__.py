"""Programs written with gowork, from ten lines to a load balancer."""
