import type { Response } from 'express';

/** So much later than the last bytes of a broken answer comes the reset that shows the break. */
const RESET_DELAY_MS = 100;

/**
 * Ends the connection so that no client can take the answer for a complete one. A missing last
 * chunk or byte shows it; where the end of the connection *is* the end of the body (RFC 9112
 * §6.3), only a reset does.
 */
export function breakConnection(res: Response): void {
  const { socket } = res;
  const endIsClose = !res.chunkedEncoding && !res.hasHeader('content-length');
  if (!endIsClose || socket === null) {
    res.destroy();
    return;
  }
  // Not at once: a client that finds the last bytes and the reset in one look (libuv does) may take
  // the reset for an end.
  const timer = setTimeout(() => {
    // A socket that is shutting down cannot be reset: Node then keeps its handle for ever.
    if (socket.writableEnded) {
      socket.destroy();
      return;
    }
    try {
      socket.resetAndDestroy();
    } catch {
      // TLS sockets have no reset; without `close_notify` their end shows by itself.
      res.destroy();
    }
  }, RESET_DELAY_MS);
  res.once('close', () => clearTimeout(timer));
}
