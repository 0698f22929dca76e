import { expect, test } from 'bun:test'
import { type Named, OCI_MANIFEST, randomBlob } from './content.ts'

/** A registry with one image that has one layer and one referrer, and the tag `1`. */
export interface FullRegistry extends AsyncDisposable {
  image: { manifest: Named; config: Named; layer: Named }
  referrer: Named
  /** Sends a request to the image's repository, for example `manifests/1`. */
  get(suffix: string, init?: RequestInit): Promise<Response>
  /** The status of what it does not have. */
  absentStatus: number
}

/** Proves that an implementation of the registry serves what it has as the protocol says. */
export function registrySuite(open: () => Promise<FullRegistry>): void {
  const cases: Record<string, (registry: FullRegistry) => Promise<void>> = {
    'a manifest is the same by tag and by digest, byte for byte': expectManifest,
    'a blob is served as a whole, in ranges, and by HEAD': expectBlob,
    'what a client has is not sent again': expectNotModified,
    'tags are listed': async ({ get }) => {
      expect(await (await get('tags/list')).json()).toMatchObject({ tags: ['1'] })
    },
    'referrers are listed': async ({ get, image, referrer }) => {
      const listed = await (await get(`referrers/${image.manifest.digest}`)).json()
      expect(listed).toMatchObject({ manifests: [{ digest: referrer.digest }] })
    },
    'what it does not have is refused with a code': expectAbsent,
  }
  for (const [name, prove] of Object.entries(cases)) {
    test(name, async () => {
      await using registry = await open()
      await prove(registry)
    })
  }
}

async function expectManifest({ get, image: { manifest } }: FullRegistry): Promise<void> {
  for (const reference of ['1', manifest.digest]) {
    for (const method of ['GET', 'HEAD']) {
      const response = await get(`manifests/${reference}`, { method, headers: { accept: OCI_MANIFEST } })
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toBe(OCI_MANIFEST)
      expect(response.headers.get('docker-content-digest')).toBe(manifest.digest)
      expect(response.headers.get('content-length')).toBe(String(manifest.bytes.length))
      const sent = method === 'GET' ? manifest.bytes : new Uint8Array()
      expect(Buffer.from(await response.bytes()).equals(sent)).toBe(true)
    }
  }
}

async function expectBlob({ get, image: { layer } }: FullRegistry): Promise<void> {
  const path = `blobs/${layer.digest}`
  const { length } = layer.bytes
  const whole = await get(path)
  expect([whole.status, whole.headers.get('content-length')]).toEqual([200, String(length)])
  expect(Buffer.from(await whole.bytes()).equals(layer.bytes)).toBe(true)
  const asked = await get(path, { method: 'HEAD' })
  expect([asked.status, asked.headers.get('content-length')]).toEqual([200, String(length)])
  for (const [range, start, end] of [
    ['bytes=10-99', 10, 100],
    [`bytes=${length - 7}-`, length - 7, length],
    ['bytes=-5', length - 5, length],
  ] as const) {
    const part = await get(path, { headers: { range } })
    expect([part.status, part.headers.get('content-range')]).toEqual([
      206,
      `bytes ${start}-${end - 1}/${length}`,
    ])
    expect(Buffer.from(await part.bytes()).equals(layer.bytes.subarray(start, end))).toBe(true)
  }
  expect((await get(path, { headers: { range: `bytes=${length}-` } })).status).toBe(416)
}

async function expectNotModified({ get, image: { manifest, layer } }: FullRegistry): Promise<void> {
  for (const path of ['manifests/1', `manifests/${manifest.digest}`, `blobs/${layer.digest}`]) {
    const etag = (await get(path, { method: 'HEAD' })).headers.get('etag') ?? ''
    expect((await get(path, { headers: { 'if-none-match': etag } })).status).toBe(304)
  }
}

async function expectAbsent({ get, absentStatus }: FullRegistry): Promise<void> {
  const { digest } = randomBlob(10)
  for (const path of ['manifests/none', `manifests/${digest}`, `blobs/${digest}`]) {
    const response = await get(path)
    expect(response.status).toBe(absentStatus)
    expect(((await response.json()) as { errors: unknown[] }).errors).toHaveLength(1)
    expect((await get(path, { method: 'HEAD' })).status).toBe(absentStatus)
  }
}
