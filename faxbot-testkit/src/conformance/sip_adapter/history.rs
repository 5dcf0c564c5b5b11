//! Records of calls.

use faxbot_core::{
    ErrorKind,
    id::CallId,
    sip::{Disposition, HistoryQuery},
};

use super::{Entry, Fate, Need, SOON, World, ended, entry, error_of, kind_is};
use crate::conformance::{Failure, Verdict, ensure, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "the history has the calls that ended, newest first",
            [Need::Fate(Fate::Busy), Need::Causes],
            [Calls, Hangup, CallHistory],
            newest_first
        ),
        entry!(
            "the pages of the history have every call once, also while calls end",
            [Need::Fate(Fate::Busy)],
            [Calls, CallHistory],
            pages
        ),
        entry!(
            "the history refuses a cursor that is not its own",
            [],
            [CallHistory],
            foreign_cursor
        ),
        entry!(
            "the server's own record of a call is found, and of nobody's not",
            [Need::OwnRecords],
            [Calls, Hangup, Cdr],
            cdr
        ),
    ]
}

async fn busy_calls(world: &World, number: usize) -> Result<Vec<CallId>, Failure> {
    let mut ids = Vec::new();
    for _ in 0..number {
        let call = world.dial(Fate::Busy).await?;
        ended(&call).await?;
        ids.push(call.id());
    }
    Ok(ids)
}

async fn newest_first(world: World) -> Verdict {
    world.connect().await?;
    let busy = busy_calls(&world, 2).await?;
    let call = world.answered().await?;
    let answered = world.hang_up(&call).await?;
    let all = world
        .adapter
        .get_call_history(HistoryQuery::default())
        .await?;
    let ids: Vec<_> = all.items.iter().filter_map(|record| record.id).collect();
    let wanted: Vec<_> = [call.id()]
        .into_iter()
        .chain(busy.iter().rev().copied())
        .collect();
    ensure!(ids == wanted, "{ids:?} and not {wanted:?}");
    ensure!(
        all.items.first() == Some(&answered),
        "another record than the call's own"
    );
    let mut query = HistoryQuery::default();
    query.disposition = Some(Disposition::Busy);
    let only = world.adapter.get_call_history(query).await?;
    ensure!(only.items.len() == 2, "{} busy calls", only.items.len());
    let mut query = HistoryQuery::default();
    query.id = Some(call.id());
    let one = world.adapter.get_call_history(query).await?;
    ensure!(one.items == [answered], "the call is not found by its id");
    Ok(())
}

async fn pages(world: World) -> Verdict {
    world.connect().await?;
    let mut before = busy_calls(&world, 5).await?;
    let mut seen = Vec::new();
    let mut query = HistoryQuery::default();
    query.limit = 2;
    for _ in 0..10 {
        let page = world.adapter.get_call_history(query.clone()).await?;
        ensure!(page.items.len() <= 2, "{} on a page", page.items.len());
        seen.extend(page.items.iter().filter_map(|record| record.id));
        // A call that ends meanwhile is newer than every page that is still to come.
        busy_calls(&world, 1).await?;
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    before.reverse();
    ensure!(seen == before, "{seen:?} and not {before:?}");
    Ok(())
}

async fn foreign_cursor(world: World) -> Verdict {
    world.connect().await?;
    let mut query = HistoryQuery::default();
    query.cursor = Some("not of ours".to_owned());
    let refused = world.adapter.get_call_history(query).await;
    kind_is(
        "a foreign cursor",
        &error_of("a foreign cursor", refused)?,
        &[ErrorKind::InvalidRequest],
    )
}

async fn cdr(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    world.hang_up(&call).await?;
    // It may come after the end.
    let found = async {
        loop {
            match world.adapter.get_cdr(&call.call_ref()).await {
                Ok(record) => return Ok(record),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                Err(error) => return Err(error),
            }
        }
    };
    let record = within("the server's own record", SOON, found).await??;
    ensure!(
        record.id == Some(call.id()) && record.disposition == Disposition::Answered,
        "{record:?}"
    );
    let nobody = world.adapter.get_cdr(&CallId::new().into()).await;
    kind_is(
        "the record of nobody",
        &error_of("the record of nobody", nobody)?,
        &[ErrorKind::NotFound],
    )
}
