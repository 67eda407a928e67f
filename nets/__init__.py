"""The spiking engine: a library without I/O, clocks or knowledge of the daemon around it."""
