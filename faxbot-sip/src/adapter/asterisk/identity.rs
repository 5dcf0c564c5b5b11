//! Which server answers, and which run of it. Only the next run of the same server proves that calls
//! ended: behind one address there may be two servers, and the calls of the one that cannot be reached
//! may go on. The start is told in whole seconds: of a server that dies and starts again within the second
//! of its start nobody knows, and its calls end as unknown.

use faxbot_core::{ErrorKind, Result};

use super::{
    request::action,
    server::{Server, Startup},
};

/// A run of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// `None` where it is not told.
    entity: Option<String>,
    startup: Startup,
}

/// What answers now, beside what answered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Successor {
    Same,
    /// The same server, started again.
    NextRun,
    /// Another server; or nobody knows.
    Other,
}

impl Identity {
    /// Asks for the identity of the server: `ENTITYID` is made of the address of its network card, or
    /// is set in `asterisk.conf`, and stays over a restart (observed on Asterisk 16.28 and 22.10).
    pub(super) async fn of(server: &Server) -> Result<Self> {
        let order = action("Getvar", &[("Variable", "ENTITYID")], "connect")?;
        let entity = match server.order(order, "connect").await {
            Ok(reply) => reply.response.get_str("Value").and_then(|it| named(&it)),
            Err(error) if is_denied(error.kind()) => None,
            Err(error) => return Err(error),
        };
        let startup = server.startup().await?;
        Ok(Self { entity, startup })
    }

    pub(super) fn after(&self, before: &Self) -> Successor {
        let told = self.entity.is_some() && before.entity.is_some();
        match (self.startup == before.startup, self.entity == before.entity) {
            (true, same) if same || !told => Successor::Same,
            (false, true) if told => Successor::NextRun,
            _ => Successor::Other,
        }
    }
}

fn is_denied(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PermissionDenied | ErrorKind::Rejected)
}

/// A server without a network card has zeros, as any other such has.
fn named(entity: &str) -> Option<String> {
    let says = |byte: u8| byte.is_ascii_hexdigit() && byte != b'0';
    entity.bytes().any(says).then(|| entity.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_server_started_again_is_its_next_run() {
        let run = |entity: &str, startup: &str| Identity {
            entity: named(entity),
            startup: Startup::new(startup.to_owned()),
        };
        let before = run("02:fc:00:00:00:01", "2026-11-21 16:34:18");
        for (entity, startup, wanted) in [
            ("02:fc:00:00:00:01", "2026-11-21 16:34:18", Successor::Same),
            (
                "02:fc:00:00:00:01",
                "2026-11-21 16:34:24",
                Successor::NextRun,
            ),
            // Two servers that were started in the same second.
            ("02:fc:00:00:00:02", "2026-11-21 16:34:18", Successor::Other),
            ("02:fc:00:00:00:02", "2026-11-21 16:34:24", Successor::Other),
            ("", "2026-11-21 16:34:18", Successor::Same),
            ("", "2026-11-21 16:34:24", Successor::Other),
        ] {
            let now = run(entity, startup);
            assert_eq!(now.after(&before), wanted, "{now:?}");
        }
        for nobody in ["", "00:00:00:00:00:00"] {
            let (one, other) = (run(nobody, "1"), run(nobody, "2"));
            assert_eq!(other.after(&one), Successor::Other);
        }
    }
}
