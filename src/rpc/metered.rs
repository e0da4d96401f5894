//! A connection that has brought enough.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// Bytes after which a connection ends in order and its caller dials anew: some 500 pings. HTTP/2 remembers headers of
/// earlier calls (RFC 7541), and h2 keeps the whole buffer that one came in as long as the header: more than a hundred
/// buffers, if it were not for this.
const ENOUGH: usize = 32 * 1024;
/// Bytes after which it ends at once.
const TOO_MUCH: usize = 2 * ENOUGH;

/// Counts what is read from `inner`.
pub(crate) struct Metered<S> {
    inner: S,
    brought: usize,
    leave: CancellationToken,
}

impl<S> Metered<S> {
    /// `leave` is cancelled once `inner` has brought enough.
    pub(crate) fn new(inner: S, leave: CancellationToken) -> Self {
        Self {
            inner,
            brought: 0,
            leave,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.brought >= TOO_MUCH {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.brought += buffer.filled().len() - before;
        if self.brought >= ENOUGH {
            self.leave.cancel();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
