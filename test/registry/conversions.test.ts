import { describe, expect, test } from 'bun:test'
import { newSigningKey, readSigningKey } from '../../src/docker/signed-document.ts'
import { registryError } from '../../src/oci/error.ts'
import { type Digest, parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { ContentReader } from '../../src/registry/content-reader.ts'
import { type ConversionStore, Conversions } from '../../src/registry/pulls.ts'
import type { Registry, StoredManifest } from '../../src/registry/registry.ts'
import {
  descriptor,
  digestOf,
  json,
  type Named,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
} from '../support/content.ts'
import { failureOf } from '../support/failure.ts'

const repository = parseRepositoryName('a/b')
const tag = parseTag('t')
const layer = descriptor({ bytes: Uint8Array.of(1), digest: digestOf(Uint8Array.of(1)) }, OCI_LAYER)
const config = json({ rootfs: {}, history: [{}, { empty_layer: true }] })

/** Returns an image with this config, made unique by a comment. */
function imageOf(blob: Named, comment = ''): StoredManifest {
  const manifest = json({ config: descriptor(blob, OCI_CONFIG), layers: [layer], comment })
  return { digest: parseDigest(manifest.digest), mediaType: OCI_MANIFEST, bytes: manifest.bytes }
}

interface Trial {
  conversions: Conversions
  /** Configs being read, configs read, and stored conversions. */
  reading: number
  read: number
  most: number
  kept: Digest[]
  /** Lets the reads in progress continue. */
  release(): void
}

interface TrialOptions {
  /** The size in the blob's row. */
  size?: number
  /** The config to return. */
  bytes?: Uint8Array<ArrayBuffer>
  isHeld?: boolean
  put?: () => Promise<void>
  /** Called before the config is opened. */
  find?: () => void
}

function trialOf({ bytes = config.bytes, isHeld = false, ...given }: TrialOptions = {}): Trial {
  const { size = bytes.length, put, find } = given
  const key = readSigningKey(newSigningKey())
  let { promise: gate, resolve: open } = Promise.withResolvers<void>()
  if (!isHeld) open()
  const store: ConversionStore = {
    find: async (_, digest) => (trial.kept.includes(digest) ? { manifest: digest, tag } : undefined),
    async put(_, __, { digest }) {
      await put?.()
      trial.kept.push(digest)
    },
    signingKey: async () => key,
  }
  const read = async () => {
    trial.read++
    trial.most = Math.max(trial.most, ++trial.reading)
    await gate
    trial.reading--
    return { bytes }
  }
  const blobs = {
    async open() {
      find?.()
      return { size, read }
    },
  }
  const registry = { blobs, manifests: {} } as unknown as Registry
  const trial: Trial = {
    conversions: new Conversions(registry, store, new ContentReader(), () => 1_700_000_000_000),
    reading: 0,
    read: 0,
    most: 0,
    kept: [],
    release() {
      open()
      ;({ promise: gate, resolve: open } = Promise.withResolvers<void>())
      open()
    },
  }
  return trial
}

const refusalOf = (made: object) => ('refusal' in made ? made.refusal : 'none')

describe('conversions', () => {
  test('are retried once a missing config is pushed', async () => {
    let isHere = false
    const trial = trialOf({
      find() {
        if (!isHere) throw registryError('BLOB_UNKNOWN')
      },
    })
    const convert = () => trial.conversions.convert(repository, tag, imageOf(config))
    expect(refusalOf(await convert())).toBe('its config is not stored here')
    isHere = true
    expect(refusalOf(await convert())).toBe('none')
  })

  test('of one image that many clients request at once run once', async () => {
    const trial = trialOf()
    const image = imageOf(config)
    const all = await Promise.all(
      Array.from({ length: 200 }, () => trial.conversions.convert(repository, tag, image)),
    )
    expect(new Set(all).size).toBe(1)
    await trial.conversions.convert(repository, tag, image)
    expect([trial.read, trial.kept.length]).toEqual([1, 1])
  })

  test('are separate for each tag', async () => {
    const trial = trialOf()
    await trial.conversions.convert(repository, tag, imageOf(config))
    await trial.conversions.convert(repository, parseTag('u'), imageOf(config))
    expect(new Set(trial.kept).size).toBe(2)
  })

  test('run a few at once, some more wait, and the rest are told to retry', async () => {
    const trial = trialOf({ isHeld: true })
    const all = Array.from({ length: 100 }, (_, index) =>
      trial.conversions.convert(repository, tag, imageOf(config, `${index}`)).then(
        () => 'converted',
        (error) => `${error.status} ${error.headers['retry-after']}`,
      ),
    )
    trial.release()
    const results = await Promise.all(all)
    expect(trial.most).toBe(2)
    expect(results.slice(0, 66)).toEqual(Array(66).fill('converted'))
    expect(results.slice(66)).toEqual(Array(34).fill('429 1'))
  })

  test.each([1, 2, 4])('read a config of %d MiB at most once', async (size) => {
    const steps = 2000
    const created_by = '"'.repeat(Math.floor((size * 1024 * 1024) / steps / 2) - 30)
    const history = Array.from({ length: steps }, (_, step) => ({ created_by, empty_layer: step > 0 }))
    const { bytes } = json({ rootfs: {}, history })
    const trial = trialOf({ bytes })
    const convert = () => trial.conversions.convert(repository, tag, imageOf(config))
    expect(refusalOf(await convert())).toMatch(size === 1 ? /^none$/ : /^its config has \d+ bytes/)
    await convert()
    expect(trial.read).toBe(size === 1 ? 1 : 0)
  })

  test('do not read a config that is too large or missing', async () => {
    const large = trialOf({ size: 5 * 1024 * 1024 })
    expect(refusalOf(await large.conversions.convert(repository, tag, imageOf(config)))).toMatch(
      /5242880 bytes/,
    )
    const unknown = () => {
      throw registryError('BLOB_UNKNOWN')
    }
    const absent = trialOf({ find: unknown })
    expect(refusalOf(await absent.conversions.convert(repository, tag, imageOf(config)))).toMatch(
      /not stored here/,
    )
    expect([large.read, absent.read]).toEqual([0, 0])
  })

  test('of artifacts are refused, and the refusal is cached', async () => {
    const trial = trialOf()
    const text = new TextEncoder().encode('{"layers": 7}')
    const odd = { ...imageOf(config), bytes: text }
    expect(refusalOf(await trial.conversions.convert(repository, tag, odd))).toMatch(/an artifact/)
    const wrong = imageOf(config)
    const first = await trial.conversions.convert(repository, tag, { ...wrong, bytes: text })
    expect(await trial.conversions.convert(repository, tag, { ...wrong, bytes: text })).toBe(first)
  })

  test('that cannot be stored fail, and are retried', async () => {
    let fails = true
    const put = async () => {
      if (fails) throw new Error('the disk is full')
    }
    const { conversions } = trialOf({ put })
    expect((await failureOf(conversions.convert(repository, tag, imageOf(config)))).message).toBe(
      'the disk is full',
    )
    fails = false
    expect(refusalOf(await conversions.convert(repository, tag, imageOf(config)))).toBe('none')
  })
})
