"""The simulator: the real services on a store, servers, disks, a network and clocks that a seed governs."""
