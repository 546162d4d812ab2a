"""The HTTP server that runs in each worker of gunicorn.

gunicorn's arbiter starts, reloads and stops the workers. Everything between the sockets and Flask is in this package.

- `reading` parses requests by RFC 9112, strictly; `bodies` reads their bodies.
- `answering` calls the WSGI application and serializes its answer.
- `refusals` renders errors of requests that never reach the application, in the format of all other errors.
- `connection` is the connection of one client: its state, its buffers and its time limits.
- `worker` accepts connections, polls those that wait, and hands complete requests to the `threads`.
- `balance` spreads connections over the workers.

A connection has one owner at a time. The poller owns the connections that wait for the rest of a request, or for a
client to read its answer: they cost a file descriptor and no thread, however slow the client is. A thread owns a
connection from the complete request until the answer is sent or the socket is full. It then waits a moment for the next
request, while other threads are idle, because handing a connection back and forth costs more than reading a request.

gunicorn's own worker gives each new connection a thread before the client has sent a byte, so idle clients keep others
from being answered. For `GET /me` it takes as much CPU as Flask and PyMongo together.

TLS is left to the proxy.
"""
