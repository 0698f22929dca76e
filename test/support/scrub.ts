import { parseDigest } from '../../src/oci/reference.ts'
import { blobPlace } from '../../src/storage/blob-store.ts'
import type { Named } from './content.ts'
import { expectStatus } from './push.ts'
import type { TestServer } from './server.ts'
import { until } from './until.ts'

export const LAYER_BYTES = 200_000

interface Damage {
  digest: string
  kind: string
  neededBy: { repository: string; tag?: string }[]
}

interface ScrubJob {
  id: string
  state: string
  endedAt?: string
  result: Record<string, number>
  error?: string
}

/** Starts a job of the kind `scrub`. */
export async function startJob(server: TestServer): Promise<ScrubJob> {
  const response = await server.fetch('/api/v1/jobs', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ kind: 'scrub' }),
  })
  return (await (await expectStatus(response, 201)).json()) as ScrubJob
}

export const jobOf = async (server: TestServer, id: string) =>
  (await (await server.fetch(`/api/v1/jobs/${id}`)).json()) as ScrubJob

/** Runs a job of the kind `scrub` to its end. */
export async function runJob(server: TestServer): Promise<ScrubJob> {
  const { id } = await startJob(server)
  await until(async () => (await jobOf(server, id)).endedAt !== undefined)
  return await jobOf(server, id)
}

/** Runs a job of the kind `scrub` to its end, and returns its counts. */
export const scrub = async (server: TestServer) => (await runJob(server)).result

/** Lists the damaged content of a server. */
export async function damageOf(server: TestServer): Promise<Damage[]> {
  return ((await (await server.fetch('/api/v1/damage')).json()) as { items: Damage[] }).items
}

export const status = async (server: TestServer, path: string, method = 'GET') =>
  (await server.fetch(path, { method, headers: { accept: '*/*' } })).status

/** The file of a blob. */
export const fileOf = ({ data }: TestServer, { digest }: Named) => blobPlace(data, parseDigest(digest)).file
