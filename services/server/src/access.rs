//! Who may call what: one table, method by role, and the layer that enforces it before any service is reached.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::UnitId;
use duban_aggregates::words::Role;
use futures::future::Either;
use http::{Request, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};

use crate::identity::{Verifier, role_name};

/// The domain of every reason in an `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "duban";

/// How far a caller's right reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Any,
    /// To what belongs to the caller's own unit; the service compares with [`Grant::own`].
    OwnUnit,
}

/// One row of the table, written so that it reads as a row:
/// `Row::of("/duban.api.v1.ReplyService/Reply").own_unit(&[Role::Unit])`.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    method: &'static str,
    open: bool,
    any: &'static [Role],
    own_unit: &'static [Role],
}

impl Row {
    /// A row for the gRPC method of this full path, which nobody may call yet.
    #[must_use]
    pub const fn of(method: &'static str) -> Self {
        Self { method, open: false, any: &[], own_unit: &[] }
    }

    /// A method that needs no identity: health for load balancers, reflection for tools.
    #[must_use]
    pub const fn open(method: &'static str) -> Self {
        Self { open: true, ..Self::of(method) }
    }

    /// These roles may call it, for every unit.
    #[must_use]
    pub const fn any(self, roles: &'static [Role]) -> Self {
        Self { any: roles, ..self }
    }

    /// These roles may call it, for their own unit.
    #[must_use]
    pub const fn own_unit(self, roles: &'static [Role]) -> Self {
        Self { own_unit: roles, ..self }
    }
}

/// The methods that every server has beside its own.
pub const INFRASTRUCTURE: &[Row] = &[
    Row::open("/grpc.health.v1.Health/Check"),
    Row::open("/grpc.health.v1.Health/Watch"),
    Row::open("/grpc.health.v1.Health/List"),
    Row::open("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
    Row::open("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
];

/// What the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No identity is asked for.
    Open,
    /// The role may, this far.
    Allowed(Scope),
    /// The role may not.
    Denied,
    /// The table has no such method, so nobody may.
    Unknown,
}

/// A table that contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Two rows for one method.
    #[error("method {0} has two rows")]
    Twice(&'static str),
    /// A role with and without the restriction to its own unit.
    #[error("method {0} names role {1:?} for every unit and for its own")]
    Both(&'static str, Role),
    /// Not `/package.Service/Method`.
    #[error("{0} is not the full path of a method")]
    NotAPath(&'static str),
}

/// The table, ready to be asked.
#[derive(Debug)]
pub struct AccessTable {
    rows: HashMap<&'static str, Row>,
}

impl AccessTable {
    /// Takes the rows of all services.
    ///
    /// # Errors
    /// [`TableError`] when a row is doubled or contradicts itself.
    pub fn new<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Result<Self, TableError> {
        let mut table = HashMap::new();
        for row in rows {
            if !row.method.starts_with('/') || row.method.matches('/').count() != 2 {
                return Err(TableError::NotAPath(row.method));
            }
            if let Some(role) = row.any.iter().find(|role| row.own_unit.contains(role)) {
                return Err(TableError::Both(row.method, *role));
            }
            if table.insert(row.method, *row).is_some() {
                return Err(TableError::Twice(row.method));
            }
        }
        Ok(Self { rows: table })
    }

    /// What `role` may do with the method of this full path.
    #[must_use]
    pub fn decide(&self, method: &str, role: Role) -> Decision {
        match self.rows.get(method) {
            None => Decision::Unknown,
            Some(row) if row.open => Decision::Open,
            Some(row) if row.any.contains(&role) => Decision::Allowed(Scope::Any),
            Some(row) if row.own_unit.contains(&role) => Decision::Allowed(Scope::OwnUnit),
            Some(_) => Decision::Denied,
        }
    }

    /// Every method in the table, sorted; a test compares them with the descriptor.
    #[must_use]
    pub fn methods(&self) -> Vec<&'static str> {
        let mut methods: Vec<_> = self.rows.keys().copied().collect();
        methods.sort_unstable();
        methods
    }

    fn admit(
        &self,
        method: &str,
        authenticate: impl FnOnce() -> Result<Actor, Status>,
    ) -> Result<Option<Grant>, Status> {
        let Some(row) = self.rows.get(method) else {
            return Err(Status::unimplemented(format!("there is no method {method}")));
        };
        if row.open {
            return Ok(None);
        }
        let actor = authenticate()?;
        let role = role_name(actor.role);
        tracing::Span::current().record("role", role);
        match self.decide(method, actor.role) {
            Decision::Allowed(scope) => Ok(Some(Grant { actor, scope })),
            Decision::Open | Decision::Denied | Decision::Unknown => {
                let mut may: Vec<_> =
                    row.any.iter().chain(row.own_unit).map(|role| role_name(*role)).collect();
                may.sort_unstable();
                let may = may.join(", ");
                Err(refusal(
                    Code::PermissionDenied,
                    "ROLE_NOT_ALLOWED",
                    format!("role {role} may not call {method}; allowed: {may}"),
                    [("method", method), ("role", role), ("allowed_roles", &may)],
                ))
            }
        }
    }
}

/// A caller whom the table let in. Every service finds it in the request's extensions, with the [`Actor`] beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who calls.
    pub actor: Actor,
    /// How far the call may reach.
    pub scope: Scope,
}

impl Grant {
    /// The grant of a request that came through [`GuardLayer`].
    ///
    /// # Errors
    /// INTERNAL when it did not: a service was mounted outside the layer, or its method is open.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self, Status> {
        request.extensions().get().ok_or_else(|| crate::grpc::fault("the request carries no proven identity"))
    }

    /// Refuses a caller who may reach its own unit only and asks for another's.
    ///
    /// # Errors
    /// PERMISSION_DENIED with reason `NOT_YOUR_UNIT`.
    pub fn own(&self, unit: &UnitId) -> Result<(), Status> {
        if self.scope == Scope::Any || self.actor.unit == *unit {
            return Ok(());
        }
        let yours = self.actor.unit.as_str();
        Err(refusal(
            Code::PermissionDenied,
            "NOT_YOUR_UNIT",
            format!("this belongs to unit {unit}, and you act for {yours}"),
            [("unit", unit.as_str()), ("your_unit", yours)],
        ))
    }
}

/// Whether answers open sealed texts for this role. Monitors and observers see what happened and never whom it befell;
/// an administrator needs neither.
#[must_use]
pub fn reads_personal_data(role: Role) -> bool {
    match role {
        Role::Desk
        | Role::Investigation
        | Role::Dispatch
        | Role::Unit
        | Role::Inspection
        | Role::Reporting
        | Role::Assessment
        | Role::Supervisor
        | Role::Auditor => true,
        Role::Monitor | Role::Observer | Role::Administrator | Role::Timer | Role::Rule | Role::Import => {
            false
        }
    }
}

/// A status with an `ErrorInfo`, which is what programs read; the message is for people.
#[must_use]
pub fn refusal<const N: usize>(
    code: Code,
    reason: &'static str,
    message: String,
    metadata: [(&str, &str); N],
) -> Status {
    let metadata: HashMap<String, String> =
        metadata.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata))
}

/// Puts [`Guard`] in front of all services.
#[derive(Clone, Debug)]
pub struct GuardLayer {
    verifier: Arc<Verifier>,
    table: Arc<AccessTable>,
}

impl GuardLayer {
    /// Proves callers with `verifier` and lets them in by `table`.
    #[must_use]
    pub fn new(verifier: Arc<Verifier>, table: Arc<AccessTable>) -> Self {
        Self { verifier, table }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, layer: self.clone() }
    }
}

/// Lets a request through with its [`Grant`], or answers why not. The body is not looked at.
#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    layer: GuardLayer,
}

impl<S, B, R> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<R>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let GuardLayer { verifier, table } = &self.layer;
        let admitted = table
            .admit(request.uri().path(), || verifier.authenticate(request.headers()).map_err(Status::from));
        match admitted {
            Ok(grant) => {
                if let Some(grant) = grant {
                    request.extensions_mut().insert(grant.actor.clone());
                    request.extensions_mut().insert(grant);
                }
                Either::Left(self.inner.call(request))
            }
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

#[cfg(test)]
mod tests;
