import { EMPTY, type Named, OCI_MANIFEST } from './content.ts'
import type { TestServer } from './server.ts'

type Server = Pick<TestServer, 'fetch'>

/** Starts an upload and returns its Location. */
export async function startUpload(server: Server, repository: string, query = ''): Promise<string> {
  const response = await server.fetch(`/v2/${repository}/blobs/uploads/${query}`, { method: 'POST' })
  await expectStatus(response, 202)
  return response.headers.get('location') ?? ''
}

/** Pushes a blob in one request. */
export async function pushBlob(server: Server, repository: string, { digest, bytes }: Named): Promise<void> {
  const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`
  await expectStatus(await server.fetch(path, { method: 'POST', body: bytes }), 201)
}

export interface PushOptions {
  /** A tag, or a digest other than the sha256, which is the default. */
  reference?: string
  type?: string
  headers?: Record<string, string>
}

/** Pushes a manifest; returns the response, whatever its status. */
export function putManifest(
  server: Server,
  repository: string,
  manifest: Named,
  { reference = manifest.digest, type = OCI_MANIFEST, headers }: PushOptions = {},
): Promise<Response> {
  return server.fetch(`/v2/${repository}/manifests/${reference}`, {
    method: 'PUT',
    headers: { 'content-type': type, ...headers },
    body: manifest.bytes,
  })
}

/** Pushes a manifest and expects it to be stored. */
export async function pushManifest(
  server: Server,
  repository: string,
  manifest: Named,
  options: PushOptions = {},
): Promise<Response> {
  return await expectStatus(await putManifest(server, repository, manifest, options), 201)
}

/** Pushes an image of one config and one layer with its blobs; returns the manifest. */
export async function pushImage(
  server: Server,
  repository: string,
  manifest: Named,
  blobs: Named[],
  options: PushOptions = {},
): Promise<Named> {
  for (const blob of [EMPTY, ...blobs]) await pushBlob(server, repository, blob)
  await pushManifest(server, repository, manifest, options)
  return manifest
}

/** Returns the response if it has this status; throws an Error with its body otherwise. */
export async function expectStatus(response: Response, status: number): Promise<Response> {
  if (response.status === status) return response
  throw new Error(`${response.url}: ${response.status}, not ${status}: ${await response.text()}`)
}
