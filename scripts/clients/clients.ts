import { parseArgs } from 'node:util'
import { CaseReport } from '../lib/cases.ts'
import { startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { cosign2, cosign3 } from './artifacts/cosign.ts'
import { flux } from './artifacts/flux.ts'
import { helm3, helm4 } from './artifacts/helm.ts'
import { kitOps, modelPack } from './artifacts/models.ts'
import { notation } from './artifacts/notation.ts'
import { operators } from './artifacts/operators.ts'
import { conftest, opa } from './artifacts/policies.ts'
import { syft } from './artifacts/sboms.ts'
import { wasm } from './artifacts/wasm.ts'
import { cachedForContainerd, cachedForContainers } from './cached/by-mirror-settings.ts'
import { cachedByPrefix } from './cached/by-prefix.ts'
import { cachedForDocker } from './cached/for-docker.ts'
import { type CaseContext, type Client, runClient } from './client.ts'
import { buildah } from './containers/buildah.ts'
import { buildkit } from './containers/buildkit.ts'
import { containerd } from './containers/containerd.ts'
import { docker } from './containers/docker.ts'
import { podman } from './containers/podman.ts'
import { singularity } from './containers/singularity.ts'
import { skopeo } from './containers/skopeo.ts'
import { crane } from './crane.ts'
import { oras } from './oras.ts'
import { deleteAll, listRepositories } from './published.ts'
import { regctl } from './regctl.ts'
import { signIn } from './sign-in.ts'
import { zstd } from './zstd.ts'

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
  const { values } = parseArgs({ args, options: { only: { type: 'string' }, address: { type: 'string' } } })
  const { only, address } = values
  const chosen = clients.filter((client) => only === undefined || client.name === only)
  if (chosen.length === 0) throw new Error(`unknown client: ${only}`)
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
