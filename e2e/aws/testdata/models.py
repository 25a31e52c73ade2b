"""Check the module's files with Seed-Farmer's own models, which reject unknown keys and values of the wrong type."""

import os
import re
import sys

import yaml
from seedfarmer.models._deploy_spec import DeploySpec
from seedfarmer.models.manifests import ModuleManifest

module = sys.argv[1]
with open(os.path.join(module, "deployspec.yaml"), encoding="utf-8") as file:
    spec = DeploySpec(**yaml.safe_load(file))
for part in (spec.deploy, spec.destroy):
    assert part.phases.install.commands and part.phases.build.commands, part

with open(os.path.join(module, "README.md"), encoding="utf-8") as file:
    blocks = re.findall(r"```yaml\n(name: .*?)```", file.read(), re.DOTALL)
assert blocks, "the README has no sample manifest"
names = set()
for block in blocks:
    for one in yaml.safe_load_all(block):
        manifest = ModuleManifest(**one)
        names |= {parameter.upper_snake_case for parameter in manifest.parameters}
required = {
    "NAMESPACE",
    "EKS_CLUSTER_ADMIN_ROLE_ARN",
    "EKS_HANDLER_ROLE_ARN",
    "EKS_CLUSTER_NAME",
    "EKS_CLUSTER_ENDPOINT",
    "EKS_OIDC_ARN",
    "EKS_CERT_AUTH_DATA",
}
assert required <= names, required - names

with open(os.path.join(module, "modulestack.yaml"), encoding="utf-8") as file:
    text = file.read()
parameters = set(re.findall(r"^  (\w+): \{Type: String", text, re.MULTILINE))
assert {"ProjectName", "DeploymentName", "ModuleName", "RoleName"} <= parameters, parameters
print("models: ok")
