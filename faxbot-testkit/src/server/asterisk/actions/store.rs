//! AstDB and the dialplan (recordings `11_fax_outcome_read_back`, `02_queries`).

use faxbot_sip::protocol::ami::server::MessageBuilder;

use super::{given, item, list};
use crate::server::asterisk::{
    SeenAction,
    connection::{Answer, error, success},
    dialplan::Step,
    world::World,
};

pub(super) fn database(world: &World, name: &str, action: &SeenAction) -> Answer {
    let family = given(action, "Family");
    let key = given(action, "Key");
    let value = action.get("Val").unwrap_or_default();
    let tree = name.ends_with("tree");
    let Some(family) = family.or(tree.then_some("")) else {
        return error(action, "No family specified.");
    };
    let Some(key) = key.or(tree.then_some("")) else {
        return error(action, "No key specified.");
    };
    let path = match (family, key) {
        ("", "") => String::new(),
        (family, "") => format!("/{family}"),
        (family, key) => format!("/{family}/{key}"),
    };
    let under = |entry: &str| entry == path || entry.starts_with(&format!("{path}/"));
    match name {
        "dbput" => {
            world.change(|state| state.db.insert(path.clone(), value.to_owned()));
            success(action, "Updated database successfully")
        }
        "dbdel" => match world.change(|state| state.db.remove(&path)) {
            Some(_) => success(action, "Key deleted successfully"),
            None => error(action, "Database entry could not be deleted"),
        },
        "dbdeltree" => {
            let before = world.lock().db.len();
            let after = world.change(|state| {
                state.db.retain(|entry, _| !under(entry));
                state.db.len()
            });
            if before == after {
                return error(action, "Database entry not found");
            }
            success(action, "Key tree deleted successfully")
        }
        "dbget" => {
            let Some(value) = world.lock().db.get(&path).cloned() else {
                return error(action, "Database entry not found");
            };
            let entry = MessageBuilder::event("DBGetResponse")
                .header("Family", family)
                .header("Key", key)
                .header("Val", value)
                .maybe("ActionID", action.get("ActionID"));
            list(
                action,
                ("start", "Result will follow"),
                vec![entry],
                ("DBGetComplete", &[]),
            )
        }
        _ => {
            let state = world.lock();
            let items = state
                .db
                .iter()
                .filter(|(entry, _)| under(entry))
                .map(|(entry, value)| {
                    MessageBuilder::event("DBGetTreeResponse")
                        .header("Key", entry)
                        .header("Val", value)
                        .maybe("ActionID", action.get("ActionID"))
                })
                .collect();
            list(
                action,
                ("start", "Result will follow"),
                items,
                ("DBGetTreeComplete", &[]),
            )
        }
    }
}

pub(super) fn extension_add(world: &World, action: &SeenAction) -> Answer {
    let wanted = ["Context", "Extension", "Priority", "Application"];
    let values: Vec<_> = wanted
        .iter()
        .filter_map(|name| given(action, name))
        .collect();
    let [context, exten, priority, application] = values.as_slice() else {
        return error(
            action,
            "Context, Extension, Priority, and Application must be defined for \
             DialplanExtensionAdd.",
        );
    };
    let Ok(priority) = priority.parse() else {
        return error(action, "The priority specified was invalid.");
    };
    let replace = given(action, "Replace").is_some_and(|text| {
        matches!(
            text.to_ascii_lowercase().as_str(),
            "yes" | "true" | "1" | "on" | "y" | "t"
        )
    });
    let step = Step {
        application: (*application).to_owned(),
        data: action.get("ApplicationData").unwrap_or_default().to_owned(),
        run_time: true,
    };
    if world.change(|state| state.dialplan.add(context, exten, priority, step, replace)) {
        success(action, "Added requested extension")
    } else {
        error(
            action,
            "That extension and priority already exist at that context",
        )
    }
}

pub(super) fn extension_remove(world: &World, action: &SeenAction) -> Answer {
    let (Some(context), Some(exten)) = (given(action, "Context"), given(action, "Extension"))
    else {
        let why = "Context and Extension must be provided for DialplanExtensionRemove";
        return error(action, why);
    };
    let priority = given(action, "Priority").and_then(|text| text.parse().ok());
    if world.change(|state| state.dialplan.remove(context, exten, priority)) {
        success(action, "Removed the requested extension")
    } else {
        error(action, "The requested extension did not exist.")
    }
}

pub(super) fn show_dialplan(world: &World, action: &SeenAction) -> Answer {
    let context = given(action, "Context");
    let exten = given(action, "Extension");
    let state = world.lock();
    let mut steps = state.dialplan.list(context);
    if let (true, Some(context)) = (steps.is_empty(), context) {
        return error(action, &format!("Did not find context {context}"));
    }
    steps.retain(|(_, at, ..)| exten.is_none_or(|exten| exten == *at));
    if let (true, Some(exten)) = (steps.is_empty(), exten) {
        let place = context
            .map(|context| format!("@{context}"))
            .unwrap_or_default();
        return error(action, &format!("Did not find extension {exten}{place}"));
    }
    let count = steps.len().to_string();
    let items = steps.into_iter().map(|(context, exten, priority, step)| {
        item("ListDialplan", action)
            .header("Context", context)
            .header("Extension", exten)
            .header("Priority", priority.to_string())
            .header("Application", &step.application)
            .header("AppData", &step.data)
            .header(
                "Registrar",
                if step.run_time {
                    "manager"
                } else {
                    "pbx_config"
                },
            )
    });
    let mut answer = list(
        action,
        ("start", "DialPlan list will follow"),
        items.collect(),
        ("ShowDialPlanComplete", &[]),
    );
    if let Some(end) = answer.messages.pop() {
        let end = end
            .header("ListExtensions", &count)
            .header("ListPriorities", &count)
            .header("ListContexts", "1");
        answer.messages.push(end);
    }
    answer
}
