import { expect } from 'bun:test'
import { createHash, randomBytes, randomFillSync } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { encode, sha256 } from '../../scripts/lib/image.ts'
import { locationOf, manifestMediaType, Registry } from '../../scripts/lib/registry.ts'
import { type Case, type Client, testClients } from './client.ts'

/**
 * Clients whose Go modules cannot be built ("module version is not available": modelpack/modctl, kitops-ml/kitops,
 * sylabs/singularity/v4). Their requests are replayed as their sources send them.
 */

const mebibyte = 1024 * 1024
const modelBytes = 2048 * mebibyte
const transferSecondsMax = 300

/** A blob in a file or in memory. */
interface Stored {
  digest: string
  bytes: Blob
}

function store(text: string | Uint8Array): Stored {
  return { digest: sha256(Buffer.from(text)), bytes: new Blob([Buffer.from(text)]) }
}

/** Writes a model of 2 GiB, each MiB different. */
async function writeModel(path: string): Promise<Stored> {
  const [chunk, hash] = [randomFillSync(Buffer.alloc(mebibyte)), createHash('sha256')]
  const file = await open(path, 'w')
  for (let written = 0; written < modelBytes; written += mebibyte) {
    chunk.writeUInt32LE(written / mebibyte, 0)
    hash.update(chunk)
    await file.write(chunk)
  }
  await file.close()
  const bytes = Bun.file(path, { type: 'application/octet-stream' })
  return { digest: `sha256:${hash.digest('hex')}`, bytes }
}

function describe({ digest, bytes }: Stored, mediaType: string, annotations?: Record<string, string>) {
  return { mediaType, digest, size: bytes.size, ...(annotations && { annotations }) }
}

/** Sends requests as a client does, and like it expects exactly the status and the headers that it reads. */
class Replay {
  readonly #registry: Registry
  readonly #repository: string

  constructor({ registry }: Case, repository: string) {
    this.#registry = new Registry(registry)
    this.#repository = repository
  }

  /** oras-go, ModelPack's and KitOps' library: a blob by POST and one PUT, unless it exists. */
  async pushByPut(blob: Stored): Promise<void> {
    if (await this.#exists(blob)) return
    await this.#close(await this.#registry.startUpload(this.#repository), blob, blob.bytes)
  }

  /** go-containerregistry, Singularity's library: a blob by POST, one PATCH with all of it, and an empty PUT. */
  async pushByPatch(blob: Stored): Promise<void> {
    if (await this.#exists(blob)) return
    const location = await this.#registry.startUpload(this.#repository)
    await this.#close(await this.#registry.append(location, blob.bytes), blob)
  }

  /** KitOps' own for large blobs: by POST, a PATCH with its Content-Range for each chunk, and an empty PUT. */
  async pushInChunks(blob: Stored, chunkBytes: number): Promise<void> {
    if (await this.#exists(blob)) return
    let location = await this.#registry.startUpload(this.#repository)
    for (let first = 0; first < blob.bytes.size; first += chunkBytes) {
      const end = Math.min(first + chunkBytes, blob.bytes.size)
      const headers = { 'content-range': `${first}-${end - 1}` }
      const body = blob.bytes.slice(first, end, 'application/octet-stream')
      const answer = await this.#registry.expect([202], 'PATCH', location, { headers, body })
      expect(answer.headers.get('range')).toBe(`0-${end - 1}`)
      location = locationOf(answer)
    }
    await this.#close(location, blob)
  }

  async pushManifest(body: Uint8Array, reference: string): Promise<void> {
    await this.#registry.pushManifest(this.#repository, reference, body)
  }

  /** Pushes a manifest by its digest, if it does not exist, and then fetches it to push it again by its tag. */
  async pushManifestThenTag(bytes: Uint8Array, tag: string): Promise<void> {
    const path = `/v2/${this.#repository}/manifests/${sha256(bytes)}`
    const headers = { accept: manifestMediaType }
    await this.#registry.expect([404], 'HEAD', path, { headers })
    await this.pushManifest(bytes, sha256(bytes))
    const fetched = await this.#registry.get(path, headers)
    expect(fetched.headers.get('content-type')).toBe(manifestMediaType)
    expect(Number(fetched.headers.get('content-length'))).toBe(bytes.length)
    await this.pushManifest(fetched.bytes, tag)
  }

  /** Pulls a blob, interrupts and resumes the download, and compares the digest of the bytes. */
  async pullInTwo(blob: Stored, firstBytes: number): Promise<void> {
    const hash = createHash('sha256')
    const begun = await this.#download(200, blob)
    expect(begun.headers.get('accept-ranges')).toBe('bytes')
    expect(Number(begun.headers.get('content-length'))).toBe(blob.bytes.size)
    let taken = 0
    for await (const chunk of begun.body ?? []) {
      const part = chunk.subarray(0, firstBytes - taken)
      hash.update(part)
      taken += part.length
      if (taken === firstBytes) break
    }
    const rest = await this.#download(206, blob, { range: `bytes=${taken}-${blob.bytes.size - 1}` })
    for await (const chunk of rest.body ?? []) hash.update(chunk)
    expect(`sha256:${hash.digest('hex')}`).toBe(blob.digest)
  }

  async #exists({ digest, bytes }: Stored): Promise<boolean> {
    const path = `/v2/${this.#repository}/blobs/${digest}`
    const answer = await this.#registry.expect([200, 404], 'HEAD', path)
    if (answer.status === 200) expect(Number(answer.headers.get('content-length'))).toBe(bytes.size)
    return answer.status === 200
  }

  async #close(location: string, { digest }: Stored, body?: Blob): Promise<void> {
    locationOf(await this.#registry.closeUpload(location, digest, body))
  }

  /** Requests a blob that is too large for memory. */
  async #download(status: number, { digest }: Stored, headers = {}): Promise<Response> {
    const url = `http://${this.#registry.address}/v2/${this.#repository}/blobs/${digest}`
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(transferSecondsMax * 1000) })
    expect(answer.status).toBe(status)
    return answer
  }
}

/** Expects a manifest under its only tag, and deletes it. */
async function expectAndDelete(
  at: Case,
  repository: string,
  tag: string,
  manifest: Uint8Array,
): Promise<void> {
  const published = at.published(repository)
  await published.expectTags(tag)
  expect((await published.manifest(tag)).digest).toBe(sha256(manifest))
  await published.delete(tag)
}

let model: Stored

/** modctl and kit push the same model of 2 GiB, each in its way. */
const models: Client = {
  name: 'models',
  tools: [],
  async setUp(home) {
    model = await writeModel(join(home, 'model.safetensors'))
    return { env: {} }
  },
  cases: {
    'are pushed at once by ModelPack, and pulled in two parts': pushModelPack,
    'are pushed in chunks by KitOps, and pulled in two parts': pushModelKit,
  },
}

async function pushModelPack(at: Case): Promise<void> {
  const replay = new Replay(at, 'models/pack')
  const [type, filepath] = ['application/vnd.cncf.model', 'org.cncf.model.filepath']
  const readme = store('# A model\n')
  const modelfs = { type: 'layers', diffIds: [model.digest, readme.digest] }
  const fields = { descriptor: { name: 'quay' }, config: { format: 'safetensors', paramSize: '1b' }, modelfs }
  const config = store(JSON.stringify(fields))
  for (const blob of [model, readme, config]) await replay.pushByPut(blob)
  const manifest = encode({
    schemaVersion: 2,
    mediaType: manifestMediaType,
    artifactType: `${type}.manifest.v1+json`,
    config: describe(config, `${type}.config.v1+json`),
    layers: [
      describe(model, `${type}.weight.v1.raw`, { [filepath]: 'model.safetensors' }),
      describe(readme, `${type}.doc.v1.raw`, { [filepath]: 'README.md' }),
    ],
  })
  await replay.pushManifestThenTag(manifest, '1b')
  await replay.pullInTwo(model, 700 * mebibyte)
  await expectAndDelete(at, 'models/pack', '1b', manifest)
}

async function pushModelKit(at: Case): Promise<void> {
  const replay = new Replay(at, 'models/kit')
  const type = 'application/vnd.kitops.modelkit'
  const kitfile = { manifestVersion: '1.0.0', package: { name: 'quay' }, model: { path: 'model.gguf' } }
  const config = store(JSON.stringify(kitfile))
  await replay.pushInChunks(model, 100 * mebibyte)
  await replay.pushByPut(config)
  // The manifest has no media type of its own.
  const manifest = encode({
    schemaVersion: 2,
    config: describe(config, `${type}.config.v1+json`),
    layers: [describe(model, `${type}.model.v1.tar`)],
    annotations: { 'ml.kitops.modelkit.cli-version': '1.0.0' },
  })
  await replay.pushManifest(manifest, '1b')
  await replay.pullInTwo(model, 1500 * mebibyte)
  await expectAndDelete(at, 'models/kit', '1b', manifest)
}

const singularity: Client = {
  name: 'singularity',
  tools: [],
  cases: {
    async 'pushes and pulls a SIF'(at) {
      const replay = new Replay(at, 'singularity/sif')
      const launch = '#!/usr/bin/env run-singularity\n'.padEnd(32, '\0')
      const sif = store(Buffer.concat([Buffer.from(`${launch}SIF_MAGIC\0`), randomBytes(5_000_000)]))
      const config = store('{}')
      for (const blob of [config, sif]) await replay.pushByPatch(blob)
      const title = { 'org.opencontainers.image.title': 'alpine.sif' }
      const manifest = encode({
        schemaVersion: 2,
        mediaType: manifestMediaType,
        config: describe(config, 'application/vnd.sylabs.sif.config.v1+json'),
        layers: [describe(sif, 'application/vnd.sylabs.sif.layer.v1.sif', title)],
      })
      await replay.pushManifest(manifest, '1')
      expect(sha256(await at.published('singularity/sif').blob(sif.digest))).toBe(sif.digest)
      await expectAndDelete(at, 'singularity/sif', '1', manifest)
    },
  },
}

testClients(models, singularity)
