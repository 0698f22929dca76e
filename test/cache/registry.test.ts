import { describe } from 'bun:test'
import { startCache } from '../support/cache.ts'
import {
  EMPTY,
  imageManifest,
  json,
  type Named,
  OCI_INDEX,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { type FullRegistry, registrySuite } from '../support/full-registry.ts'
import { pushBlob, pushManifest } from '../support/push.ts'
import { startInProcess } from '../support/server.ts'

const ARTIFACT = 'application/vnd.example.signature'

/** A manifest that refers to another one. */
function referrerOf({ digest, bytes }: Named): Named {
  const subject = { mediaType: OCI_MANIFEST, digest, size: bytes.length }
  return imageManifest(EMPTY, [EMPTY], { artifactType: ARTIFACT, subject })
}

async function openPushed(): Promise<FullRegistry> {
  const server = await startInProcess()
  const [config, layer] = [EMPTY, randomBlob(100_000)]
  const manifest = imageManifest(config, [layer])
  const referrer = referrerOf(manifest)
  for (const blob of [config, layer]) await pushBlob(server, 'library/app', blob)
  await pushManifest(server, 'library/app', manifest, { reference: '1' })
  await pushManifest(server, 'library/app', referrer)
  return {
    image: { manifest, config, layer },
    referrer,
    get: (suffix, init) => server.fetch(`/v2/library/app/${suffix}`, init),
    absentStatus: 404,
    [Symbol.asyncDispose]: () => server.stop(),
  }
}

/** A cache whose upstream has the image. If it was pulled, the cache has it, too. */
async function openCached(state: 'pulled' | 'offline'): Promise<FullRegistry> {
  const cache = await startCache()
  const { fake } = cache
  const { manifest, config, layer } = fake.putImage('library/app', '1', [100_000])
  const referrer = referrerOf(manifest)
  fake.putManifest('library/app', referrer.digest, referrer)
  fake.putBlob('library/app', EMPTY)
  const { digest, bytes } = referrer
  const described = { mediaType: OCI_MANIFEST, digest, size: bytes.length, artifactType: ARTIFACT }
  const lists = {
    'tags/list': json({ name: 'library/app', tags: ['1'] }),
    [`referrers/${manifest.digest}`]: json({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [described],
    }),
  }
  for (const [suffix, list] of Object.entries(lists)) {
    const headers = { 'content-type': suffix === 'tags/list' ? 'application/json' : OCI_INDEX }
    fake.content.set(`/v2/library/app/${suffix}`, { bytes: list.bytes, headers })
  }
  for (const name of [
    'manifests/1',
    `manifests/${digest}`,
    `blobs/${config.digest}`,
    `blobs/${layer.digest}`,
  ]) {
    await (await cache.get(name)).bytes()
  }
  // Only a body that is still being fetched has no Content-Length.
  while (!(await cache.get(`blobs/${layer.digest}`)).headers.has('content-length'));
  if (state === 'offline') {
    await fake.stop()
    await cache.restart({ cache: 'offline = true' })
  }
  return {
    image: { manifest, config, layer },
    referrer,
    get: cache.get,
    absentStatus: state === 'offline' ? 503 : 404,
    [Symbol.asyncDispose]: () => cache[Symbol.asyncDispose](),
  }
}

describe('registry: pushed content:', () => registrySuite(openPushed))
describe('registry: cached content:', () => registrySuite(() => openCached('pulled')))
describe('registry: cached content without the upstream:', () => registrySuite(() => openCached('offline')))
