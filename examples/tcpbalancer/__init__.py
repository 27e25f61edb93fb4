"""Pictures resized through a load balancer: a client, a proxy, backends, and a demo of them all."""
