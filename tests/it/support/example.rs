//! The example that most commands are tried on, in folders of a test's own.

use super::{Folder, root};

pub const CONTOSO: &str = "examples/contoso";

/// The example, where a test may change it.
pub fn contoso() -> Folder {
    Folder::copy_of(&root().join(CONTOSO))
}

/// The example beside a second tenant, in a folder of that name, which has no
/// devices.
pub fn contoso_and(name: &str) -> Folder {
    let folder = contoso();
    let tenant = folder.read("tenant.yaml").replace("name: contoso", &format!("name: {name}"));
    folder.write(format!("{name}/tenant.yaml"), tenant.replace("11111111-", "99999999-"));
    for file in ["devices/oslo/laptops.yaml", "devices/oslo/kiosks.yaml", "devices/bergen/laptops.yaml"] {
        folder.edit(file, "spec:\n", "spec:\n  tenantRef: {name: contoso}\n");
    }
    folder
}
