import { describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import {
  type Conversion,
  convertImage,
  convertible,
  EMPTY_LAYER,
  HISTORY_ENTRIES_MAX,
} from '../../src/docker/conversion.ts'
import { parseSchema1 } from '../../src/docker/schema1.ts'
import { parseSignedDocument } from '../../src/docker/signed-document.ts'
import { readParts } from '../../src/oci/manifest.ts'
import { type Digest, parseDigest } from '../../src/oci/reference.ts'
import { descriptor, digestOf, EMPTY, json, named, OCI_CONFIG, OCI_LAYER } from '../support/content.ts'

const fixture = (name: string) => Bun.file(join(import.meta.dir, '../fixtures/schema1', name)).bytes()
const NAME = { name: 'a/b', tag: 't' }
const [one, two, three] = [1, 2, 3].map((byte) => parseDigest(digestOf(Uint8Array.of(byte)))) as [
  Digest,
  Digest,
  Digest,
]

/** Converts a config with these layers, which must succeed. */
function convert(config: object, layers: Digest[]): Conversion {
  const result = convertImage(NAME, layers, json(config).bytes)
  if ('refusal' in result) throw new Error(result.refusal)
  return result
}

/** Returns its V1 images, leaf first. */
function imagesOf({ schema1 }: Conversion): Record<string, unknown>[] {
  return schema1.layers.map(({ v1Compatibility }) => JSON.parse(v1Compatibility))
}

function refusalOf(config: unknown, layers: Digest[]): string {
  const result = convertImage(NAME, layers, json(config).bytes)
  return 'refusal' in result ? result.refusal : 'none'
}

describe("as Docker's own registry converts it", () => {
  test('an image has the same layers, ids, parents and history', async () => {
    const theirs = parseSchema1(parseSignedDocument(await fixture('signed.json')).payload)
    const image = convertible(readParts(await fixture('image.json')))
    if ('refusal' in image) throw new Error(image.refusal)
    const ours = convertImage(NAME, image.layers, await fixture('config.json'))
    if ('refusal' in ours) throw new Error(ours.refusal)
    const { layers, ...rest } = ours.schema1
    expect({ ...rest, layers: [] }).toEqual({ ...theirs, layers: [] })
    expect(layers.map(({ blobSum }) => blobSum)).toEqual(theirs.layers.map(({ blobSum }) => blobSum))
    const [leaf, ...others] = theirs.layers.map(({ v1Compatibility }) => JSON.parse(v1Compatibility))
    // Docker's registry omits how the leaf was created, although Docker reads its command from there.
    expect(imagesOf(ours)).toEqual([{ ...leaf, container_config: { Cmd: ['CMD ["🚀"]'] } }, ...others])
  })

  test('the empty layer is an empty tar with the expected digest', () => {
    const bytes = Buffer.from(EMPTY_LAYER.base64, 'base64')
    expect<string>(digestOf(bytes)).toBe(EMPTY_LAYER.digest)
    expect(Bun.gunzipSync(bytes)).toEqual(new Uint8Array(1024))
  })
})

describe('the conversion', () => {
  const config = {
    architecture: 'arm64',
    os: 'linux',
    created: '2020-01-02T03:04:05Z',
    author: 'Zoë',
    config: { Cmd: ['sh', '-c', 'echo 🐳'] },
    container_config: { Cmd: ['its own'] },
    rootfs: { type: 'layers', diff_ids: [] },
    history: [
      { created: '2020-01-01T00:00:00Z', created_by: 'ADD 日本', comment: 'c', author: 'a' },
      { empty_layer: true },
      { created: 'yesterday' },
    ],
  }

  test('follows the history and ignores uncompressed digests in the config', () => {
    const converted = convert(config, [one, two])
    const { schema1 } = converted
    expect(schema1.architecture).toBe('arm64')
    expect(schema1.layers.map(({ blobSum }) => blobSum)).toEqual([two, EMPTY_LAYER.digest, one])
    const [leaf, middle, base] = imagesOf(converted)
    const { rootfs: _, history: __, ...kept } = config
    expect(leaf).toEqual({ ...kept, id: leaf?.id, parent: middle?.id })
    expect(middle).toEqual({
      id: middle?.id,
      parent: base?.id,
      created: '0001-01-01T00:00:00Z',
      container_config: { Cmd: [''] },
      throwaway: true,
    })
    expect(base).toEqual({
      id: base?.id,
      created: '2020-01-01T00:00:00Z',
      comment: 'c',
      author: 'a',
      container_config: { Cmd: ['ADD 日本'] },
    })
    for (const { id } of [leaf, middle, base] as { id: string }[]) expect(id).toMatch(/^[0-9a-f]{64}$/)
  })

  test('always has the same bytes, and different ones for another name, tag, layer or config', () => {
    const payloadOf = (name: object, layers: Digest[], image: object) => {
      const result = convertImage({ ...NAME, ...name }, layers, json(image).bytes)
      return 'refusal' in result ? '' : Buffer.from(result.payload).toString()
    }
    const first = payloadOf({}, [one, two], config)
    expect(payloadOf({}, [one, two], config)).toBe(first)
    const others = [
      payloadOf({ name: 'a/c' }, [one, two], config),
      payloadOf({ tag: 'u' }, [one, two], config),
      payloadOf({}, [one, three], config),
      payloadOf({}, [one, two], { ...config, os: 'plan9' }),
    ]
    expect(new Set([first, ...others, '']).size).toBe(6)
  })

  test('says whether it needs the empty layer', () => {
    expect(convert(config, [one, two]).hasEmptyLayer).toBe(true)
    expect(convert({ ...config, history: [{}] }, [one]).hasEmptyLayer).toBe(false)
  })

  test('marks a leaf that changed nothing as throwaway, even if the config says otherwise', () => {
    const image = { ...config, throwaway: false, id: 'x', parent: 'y', history: [{ empty_layer: true }] }
    expect(imagesOf(convert(image, []))).toEqual([
      expect.objectContaining({ throwaway: true, id: expect.stringMatching(/^[0-9a-f]{64}$/) }),
    ])
    expect(imagesOf(convert({ ...image, history: [{}] }, [one]))[0]).not.toHaveProperty('parent')
    expect(imagesOf(convert({ ...image, history: [{}] }, [one]))[0]).not.toHaveProperty('throwaway')
  })

  test('replaces a missing history by one step per layer, the last with the command', () => {
    const { history: _, container_config: __, ...image } = config
    const [leaf, base] = imagesOf(convert(image, [one, two]))
    expect(leaf).toMatchObject({ container_config: { Cmd: ['sh -c echo 🐳'] }, created: config.created })
    expect(base).toMatchObject({ created: '0001-01-01T00:00:00Z' })
    expect(leaf?.parent).toBe(base?.id)
  })

  test("uses Docker's ids: hashes of the blob and its parent, and for the leaf also of the config", () => {
    const hash = (text: string) => createHash('sha256').update(text).digest('hex')
    const [leaf, base] = imagesOf(convert({ ...config, history: [{}, {}] }, [one, two]))
    expect(base?.id).toBe(hash(`${one.slice(7)} `))
    const text = JSON.stringify({ ...config, history: [{}, {}] })
    expect(leaf?.id).toBe(hash(`${two.slice(7)} ${base?.id} ${text}`))
  })
})

describe('is refused, with a reason', () => {
  const rootfs = { type: 'layers', diff_ids: [] }
  test.each<[config: unknown, layers: Digest[], reason: RegExp]>([
    [{}, [one], /config is not that of an image/],
    [[], [one], /config is not that of an image/],
    ['text', [one], /config is not that of an image/],
    [{ rootfs }, [], /no layers/],
    [{ rootfs, history: [{}] }, [one, two], /one entry for each of its 2 layers/],
    [{ rootfs, history: [{}, {}] }, [one], /one entry for each of its 1 layers/],
    [{ rootfs, history: [{ empty_layer: true }] }, [one], /one entry for each of its 1 layers/],
    [{ rootfs, history: Array(HISTORY_ENTRIES_MAX + 1).fill({ empty_layer: true }) }, [], /2001 entries/],
  ])('%.40j', (config, layers, reason) => expect(refusalOf(config, layers)).toMatch(reason))

  const layer = descriptor(named('layer'), OCI_LAYER)
  const config = descriptor(EMPTY, OCI_CONFIG)
  const reasonOf = (document: object) => {
    const image = convertible(readParts(json(document).bytes))
    return 'refusal' in image ? image.refusal : 'none'
  }
  test.each<[document: object, reason: RegExp]>([
    [{ config, layers: [layer], artifactType: 'a/b' }, /artifact of type a\/b/],
    [{ config: { ...config, mediaType: 'a/b' }, layers: [layer] }, /artifact: its config is of type a\/b/],
    [{ layers: [layer] }, /config is of type none/],
    ...[
      'application/vnd.oci.image.layer.v1.tar+zstd',
      'application/vnd.oci.image.layer.v1.tar+gzip+encrypted',
      'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
      'application/vnd.in-toto+json',
    ].map((mediaType): [object, RegExp] => [
      { config, layers: [layer, { ...layer, mediaType }] },
      new RegExp(`cannot read its layer sha256:.* of type ${mediaType.replaceAll(/[+.]/g, '\\$&')}`),
    ]),
    [{ config, layers: [layer] }, /none/],
  ])('%j', (document, reason) => expect(reasonOf(document)).toMatch(reason))

  test.each([50_000, 1_000_000])('when its config is nested %d deep', (depth) => {
    const nested = `${'['.repeat(depth)}${']'.repeat(depth)}`
    const bytes = Buffer.from(`{"rootfs":{},"history":[{}],"config":${nested}}`)
    expect(convertImage(NAME, [one], bytes)).toHaveProperty('refusal')
  })

  test('or succeeds: no config makes it throw', () => {
    const history = fc.array(fc.oneof(fc.constant({ empty_layer: true }), fc.jsonValue()))
    const configs = fc.oneof(
      fc.jsonValue(),
      fc.record({ history, rootfs: fc.jsonValue(), config: fc.jsonValue(), created: fc.jsonValue() }),
    )
    fc.assert(
      fc.property(configs, fc.subarray([one, two, three]), (config, layers) => {
        const result = convertImage(NAME, layers, json(config).bytes)
        if ('refusal' in result) return
        const again = parseSchema1(result.payload)
        expect(again).toEqual(result.schema1)
      }),
      { numRuns: 1000 },
    )
  })
})
