"""The HTTP server: what one worker of gunicorn does with its connections.

gunicorn's arbiter starts, reloads and stops the workers; between the sockets and Flask everything is in this package.

- `reading` turns bytes into requests: RFC 9112 and nothing looser.
- `answering` calls the WSGI application and puts its answer into bytes.
- `refusals` renders what never reaches the application, in the shape of every other error.
- `connection` is one client: what it has sent, what it is still to get, and how long it may take.
- `worker` accepts connections and gives those with something to do to a pool of threads.
- `balance` spreads connections over the workers.

A connection has one owner at any time. The poller owns all that wait, for a request to come in whole or for a client
to take in its answer: they cost a file descriptor and no thread, however slow the client is. A thread owns one from
the moment a request is complete until its answer is out or the socket is full. It then lingers for the next request,
as long as other threads are idle: to hand a connection back and forth costs more than to read a request.

gunicorn's own worker gives a thread to each new connection before it has sent a byte, so that idle clients keep
everybody else from being answered, and takes as much CPU for the read of a profile as Flask and PyMongo together.

There is no TLS here: that is the proxy's.
"""
