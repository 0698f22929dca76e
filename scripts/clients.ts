import { buildah } from './clients/buildah.ts'
import { buildkit } from './clients/buildkit.ts'
import { cachedForContainerd, cachedForContainers } from './clients/cached/by-mirror-settings.ts'
import { cachedByPrefix } from './clients/cached/by-prefix.ts'
import { cachedForDocker } from './clients/cached/for-docker.ts'
import { type CaseContext, type Client, runClient } from './clients/client.ts'
import { containerd } from './clients/containerd.ts'
import { cosign2, cosign3 } from './clients/cosign.ts'
import { crane } from './clients/crane.ts'
import { docker } from './clients/docker.ts'
import { flux } from './clients/flux.ts'
import { helm3, helm4 } from './clients/helm.ts'
import { kitOps, modelPack } from './clients/models.ts'
import { notation } from './clients/notation.ts'
import { operators } from './clients/operators.ts'
import { oras } from './clients/oras.ts'
import { podman } from './clients/podman.ts'
import { conftest, opa } from './clients/policies.ts'
import { deleteAll, listRepositories } from './clients/published.ts'
import { regctl } from './clients/regctl.ts'
import { syft } from './clients/sboms.ts'
import { signIn } from './clients/sign-in.ts'
import { singularity } from './clients/singularity.ts'
import { skopeo } from './clients/skopeo.ts'
import { wasm } from './clients/wasm.ts'
import { zstd } from './clients/zstd.ts'
import { CaseReport } from './lib/cases.ts'
import { startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'

const clients: Client[] = [
  docker,
  containerd,
  skopeo,
  podman,
  buildah,
  crane,
  cachedByPrefix,
  cachedForContainers,
  cachedForContainerd,
  cachedForDocker,
  oras,
  helm3,
  helm4,
  regctl,
  buildkit,
  zstd,
  cosign2,
  cosign3,
  notation,
  syft,
  conftest,
  opa,
  operators,
  flux,
  wasm,
  modelPack,
  kitOps,
  singularity,
  signIn,
]

/**
 * `clients [--only name] [--address host:port]`: real clients push to the executable, or to a running registry,
 * and pull from it. They must get the same bytes. At the end everything is deleted.
 */
export async function run(args: string[]): Promise<void> {
  const option = (name: string) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined)
  const only = option('--only')
  const chosen = clients.filter((client) => only === undefined || client.name === only)
  if (chosen.length === 0) throw new Error(`unknown client: ${only}`)
  const address = option('--address')
  await using folder = await temporaryFolder('clients')
  await using server = address === undefined ? await startServer() : undefined
  const report = new CaseReport()
  const registry = server?.address ?? address ?? ''
  for (const client of chosen) {
    await report.prepare(client.name, async () =>
      runClient(await withEnd(client, registry), registry, folder.path, report),
    )
  }
  report.end(server)
}

/** Adds a last case to a client: everything that it left in the registry can be found and deleted. */
async function withEnd(client: Client, registry: string): Promise<Client> {
  const before = new Set(await listRepositories(registry))
  const deleteRest = async ({ registry }: CaseContext) => {
    const repositories = (await listRepositories(registry)).filter((name) => !before.has(name))
    for (const repository of repositories) await deleteAll(registry, repository)
  }
  return {
    ...client,
    cases: { ...client.cases, 'everything that it pushed is found and deleted': deleteRest },
  }
}
