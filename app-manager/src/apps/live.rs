//! An app that may change while it is held.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;

use crate::{app::App, webhook::WebhookSubscriptions};

/// An app as it is now, whenever that is asked. Cheap to clone: all clones are the same app. While somebody holds one, the
/// cache does not let go of it.
#[derive(Clone)]
pub struct LiveApp(Arc<Live>);

/// Whether those who are connected may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They may.
    Active,
    /// The app is switched off.
    Disabled,
    /// There is no such app any more.
    Gone,
}

struct Live {
    app: ArcSwap<App>,
    is_gone: AtomicBool,
    age: Age,
}

/// How old an answer of the store is, in milliseconds of the cache's clock. Each number stands for itself, and orders no
/// other memory.
#[derive(Debug, Default)]
pub(super) struct Age {
    /// From when on it is asked for anew, in passing.
    pub(super) refresh_at: AtomicU64,
    /// From when on it is not good any more, unless the store is away.
    pub(super) expires_at: AtomicU64,
    /// When somebody asked last.
    pub(super) used_at: AtomicU64,
    /// The store did not answer when it was asked anew.
    pub(super) is_failing: AtomicBool,
}

impl LiveApp {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self(Arc::new(Live { app: app.into(), is_gone: AtomicBool::new(false), age: Age::default() }))
    }

    /// The app as it is now, for a moment: not to be kept.
    pub fn load(&self) -> impl Deref<Target = Arc<App>> + use<> {
        self.0.app.load()
    }

    /// The app as it is now.
    pub fn load_full(&self) -> Arc<App> {
        self.0.app.load_full()
    }

    /// Whether those who are connected may stay.
    pub fn standing(&self) -> Standing {
        if self.0.is_gone.load(Relaxed) {
            Standing::Gone
        } else if self.load().enabled {
            Standing::Active
        } else {
            Standing::Disabled
        }
    }

    pub(super) fn age(&self) -> &Age {
        &self.0.age
    }

    /// Whether anybody but the cache holds it.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// From now on it is this; what it was comes back.
    pub(super) fn replace(&self, app: App) -> Arc<App> {
        self.0.app.swap(Arc::new(app))
    }

    /// From now on it is no more. Who still holds it finds it switched off, and without webhooks: nobody is left who could
    /// sign them.
    pub(super) fn vanish(&self) {
        let last = (*self.load_full()).clone();
        self.0.is_gone.store(true, Relaxed);
        self.replace(App { enabled: false, webhooks: WebhookSubscriptions::default(), ..last });
    }
}

impl fmt::Debug for LiveApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveApp").field("id", &self.load().id).field("standing", &self.standing()).finish()
    }
}
