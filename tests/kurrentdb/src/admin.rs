//! What a node says about its cluster and itself, and what an operator may ask of it.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::convert;
use crate::core::{Core, Shared, now_ticks};
use crate::pb::gossip::member_info::VNodeState;
use crate::pb::gossip::{ClusterInfo, EndPoint, MemberInfo, gossip_server};
use crate::pb::operations::scavenge_resp::ScavengeResult;
use crate::pb::operations::{ScavengeResp, StartScavengeReq, StopScavengeReq, operations_server};
use crate::pb::server_features::{SupportedMethod, SupportedMethods, server_features_server};
use crate::{pb, refusals};

/// The version that the nodes claim to be.
const VERSION: &str = "24.10.0.0";

/// What the nodes can do; batch appends and persistent subscriptions are not among it.
const METHODS: [(&str, &str); 9] = [
    ("event_store.client.streams.streams", "read"),
    ("event_store.client.streams.streams", "append"),
    ("event_store.client.streams.streams", "delete"),
    ("event_store.client.streams.streams", "tombstone"),
    ("event_store.client.gossip.gossip", "read"),
    ("event_store.client.operations.operations", "startscavenge"),
    ("event_store.client.operations.operations", "stopscavenge"),
    ("event_store.client.operations.operations", "resignnode"),
    ("event_store.client.server_features.serverfeatures", "getsupportedmethods"),
];

#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: usize,
}

#[tonic::async_trait]
impl gossip_server::Gossip for Admin {
    async fn read(&self, _: Request<pb::Empty>) -> Result<Response<ClusterInfo>, Status> {
        self.shared.count(|counters| counters.gossips += 1);
        let core = self.shared.lock();
        let members = (0..core.members.len()).map(|number| info(&core, number)).collect();
        Ok(Response::new(ClusterInfo { members }))
    }
}

fn info(core: &Core, number: usize) -> MemberInfo {
    let member = &core.members[number];
    let state = match core.leader {
        Some(leader) if leader == number => VNodeState::Leader,
        // Until there is another, a leader that died is still called one.
        None if core.led == number && !member.alive && member.seems_alive => VNodeState::Leader,
        _ if !member.alive => VNodeState::Shutdown,
        Some(_) => VNodeState::Follower,
        None => VNodeState::Unknown,
    };
    let address = member.address.ip().to_string();
    MemberInfo {
        instance_id: Some(convert::id(member.instance, false)),
        time_stamp: now_ticks().cast_signed(),
        state: state.into(),
        is_alive: member.seems_alive,
        http_end_point: Some(EndPoint { address, port: member.address.port().into() }),
    }
}

#[tonic::async_trait]
impl server_features_server::ServerFeatures for Admin {
    async fn get_supported_methods(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<SupportedMethods>, Status> {
        let method = |(service, method): (&str, &str)| SupportedMethod {
            method_name: method.to_owned(),
            service_name: service.to_owned(),
            features: Vec::new(),
        };
        let methods = METHODS.into_iter().map(method).collect();
        let event_store_server_version = VERSION.to_owned();
        Ok(Response::new(SupportedMethods { methods, event_store_server_version }))
    }
}

#[tonic::async_trait]
impl operations_server::Operations for Admin {
    /// Answers at once, and scavenges this node a moment later.
    async fn start_scavenge(&self, _: Request<StartScavengeReq>) -> Result<Response<ScavengeResp>, Status> {
        let scavenge_id = self.shared.lock().fresh_id().to_string();
        let (shared, node) = (Arc::clone(&self.shared), self.node);
        tokio::spawn(async move { shared.scavenge(node) });
        let scavenge_result = ScavengeResult::Started.into();
        Ok(Response::new(ScavengeResp { scavenge_id, scavenge_result }))
    }

    /// A scavenge never runs long enough here to be stopped.
    async fn stop_scavenge(
        &self,
        request: Request<StopScavengeReq>,
    ) -> Result<Response<ScavengeResp>, Status> {
        let id = request.into_inner().options.unwrap_or_default().scavenge_id;
        Err(refusals::scavenge_not_found(&id))
    }

    async fn resign_node(&self, _: Request<pb::Empty>) -> Result<Response<pb::Empty>, Status> {
        let mut core = self.shared.lock();
        if core.leader == Some(self.node) {
            self.shared.depose(&mut core);
        }
        Ok(Response::new(pb::Empty {}))
    }
}

impl Shared {
    /// Takes away from one node's copy what nobody may read any more.
    pub(crate) fn scavenge(&self, node: usize) {
        let mut core = self.lock();
        let before = match self.config.chunk_bytes {
            // Only chunks that are complete are scavenged.
            Some(chunk) => core.log.end() / chunk * chunk,
            None => u64::MAX,
        };
        let Core { log, members, .. } = &mut *core;
        let member = &mut members[node];
        let gone = log.superfluous(member.view(now_ticks()), before);
        let held = member.dropped.len();
        member.dropped.extend(gone);
        let gone = member.dropped.len() - held;
        self.count(|counters| {
            counters.scavenges += 1;
            counters.events_scavenged += gone as u64;
        });
    }
}
