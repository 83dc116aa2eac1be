"""A simulated PostgreSQL, close enough that an error in the protocol loses a commit here too.

How to use it: make one ``Fleet`` per world, outside of every simulated process; ``fleet.add(host)`` for
each keeper; give each life of a keeper a ``SimPostgres(host, clock)`` of its own. What befalls a server is a
method or a flag of its ``SimHost``: ``kill_postmaster``, ``crash`` and ``boot`` (beside the network's own
power), ``pause`` and ``resume``, ``hang_disk`` and ``heal_disk``, ``disk_full``, ``start_fails``,
``start_takes_s``. ``SimHost.open_port = front_doors(internet, network)`` lets clients in through a proxy, by
real bytes; ``clients.connect`` does without. ``oracle`` sees everything.

    values, engine        delays, sizes; time, chance, the life of processes, connections
    wal, directory        records, timelines and history files; what lies on disk
    host, programs        one host with its directories and faults; initdb, pg_basebackup, pg_rewind
    server                one start: the postmaster, and what its children share
    startup               recovery, WAL receivers on demand, promotion in StartupXLOG's order
    sender, receiver      streaming; each sender's own copy of the sync setting
    sync_rep, backend     commits that wait; sessions
    writer, shutdown      group commit; a fast stop
    port, link, lives,    the port that a keeper has: what keeper.postgres does, in the same steps
    standby, primary

A data directory is its WAL: rows are the commits in it. Left out: tables, parameters and roles, archiving,
replay conflicts (``startup.pause`` holds replay up as well), checkpoints that nobody asked for
(``server.checkpoint`` makes one), and logical or cascading set-ups beyond a standby that is promoted while
others are connected. tests/contract/test_postgres*.py hold it to what a real server does.
"""
