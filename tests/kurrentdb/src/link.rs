//! A connection that can be cut or frozen from outside.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// What the network between a node and its clients does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Up,
    /// Bytes stay where they are, in both directions; nobody is told.
    Frozen,
    /// Both ends are told that the connection is gone.
    Cut,
}

#[derive(Debug)]
pub(crate) struct Link {
    socket: TcpStream,
    line: Line,
    changes: WatchStream<Line>,
}

impl Link {
    pub(crate) fn new(socket: TcpStream, line: watch::Receiver<Line>) -> Self {
        Self { socket, line: Line::Up, changes: WatchStream::new(line) }
    }

    /// Ready when bytes may pass.
    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Poll::Ready(line) = Pin::new(&mut self.changes).poll_next(context) {
            // A line that nobody holds any more belonged to a node that was killed.
            self.line = line.unwrap_or(Line::Cut);
            if self.line == Line::Cut {
                break;
            }
        }
        match self.line {
            Line::Up => Poll::Ready(Ok(())),
            Line::Frozen => Poll::Pending,
            Line::Cut => {
                // Without lingering the other side sees a reset, as after a crash. Once the socket is gone it does not matter any more.
                let _ = self.socket.set_zero_linger();
                Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionReset)))
            }
        }
    }
}

impl Connected for Link {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.socket.connect_info()
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_line(context))?;
        // The client crate leaves Nagle's algorithm on: an acknowledgement that is put off costs each append 40 ms. The setting is
        // good for a few segments only, and of no consequence when it fails.
        let _ = self.socket.set_quickack(true);
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_line(context))?;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_line(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
