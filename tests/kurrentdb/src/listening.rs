//! A node on its port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::Stream;
use tokio::net::{TcpListener, TcpSocket};
use tonic::transport::Server;

use crate::admin::Admin;
use crate::core::Shared;
use crate::link::Link;
use crate::pb::gossip::gossip_server::GossipServer;
use crate::pb::operations::operations_server::OperationsServer;
use crate::pb::server_features::server_features_server::ServerFeaturesServer;
use crate::pb::streams::streams_server::StreamsServer;
use crate::streams::Streams;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Holds a port without listening there: whoever connects is refused, and nobody else gets the port.
pub(crate) fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves one node until its task is aborted.
pub(crate) fn serve(shared: &Arc<Shared>, node: usize, socket: TcpSocket) -> io::Result<()> {
    let listener = socket.listen(BACKLOG)?;
    let (streams, admin) =
        (Streams { shared: Arc::clone(shared), node }, Admin { shared: Arc::clone(shared), node });
    let server = Server::builder()
        .add_service(StreamsServer::new(streams))
        .add_service(GossipServer::new(admin.clone()))
        .add_service(OperationsServer::new(admin.clone()))
        .add_service(ServerFeaturesServer::new(admin))
        .serve_with_incoming(incoming(Arc::clone(shared), node, listener));
    let task = tokio::spawn(async move {
        server.await.expect("a fake node serves until it is stopped");
    });
    shared.lock().members[node].server = Some(task);
    Ok(())
}

fn incoming(shared: Arc<Shared>, node: usize, listener: TcpListener) -> impl Stream<Item = io::Result<Link>> {
    futures::stream::unfold((shared, listener), move |(shared, listener)| async move {
        let accepted = listener.accept().await.and_then(|(socket, _)| {
            socket.set_nodelay(true)?;
            let line = shared.lock().members[node].line.subscribe();
            shared.count(|counters| counters.connections += 1);
            Ok(Link::new(socket, line))
        });
        Some((accepted, (shared, listener)))
    })
}
