"""The other side: what the paper describes, done the straightforward way, and computing what the kit computes."""
