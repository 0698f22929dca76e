import { createHash } from 'node:crypto'
import {
  isNestedDeep,
  isObject,
  isTime,
  JSON_LEVELS_MAX,
  type Json,
  objectOf,
  parseLeniently,
  stringOf,
  stringsOf,
} from '../oci/image-config.ts'
import { isImageConfig, type ManifestParts } from '../oci/manifest.ts'
import { type Digest, digestFromHex, hexOf } from '../oci/reference.ts'
import { formatSchema1, type Schema1, type Schema1Layer } from './schema1.ts'

/** The longest history that is converted, in entries. Docker itself creates at most 127 layers. */
export const HISTORY_ENTRIES_MAX = 2000

/** The layer for each step that changed no file: an empty compressed tar, which every registry knows by this digest. */
export const EMPTY_LAYER = {
  digest: digestFromHex('sha256', 'a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4'),
  base64: 'H4sIAAAJbogA/2IYBaNgFIxYAAgAAP//Lq+17wAEAAA=',
} as const

/** Why an image cannot be converted for a client that reads only schema 1, as the end of a sentence. */
export interface Refusal {
  refusal: string
}

export interface Conversion {
  schema1: Schema1
  /** The bytes that are signed and hashed. The same image, name and tag always give the same bytes. */
  payload: Uint8Array<ArrayBuffer>
  /** Whether one of its layers is EMPTY_LAYER, which the image itself may lack. */
  hasEmptyLayer: boolean
}

/** The layers that old Docker clients can unpack: tar, with or without gzip. */
const READABLE_LAYERS: readonly string[] = [
  'application/vnd.oci.image.layer.v1.tar',
  'application/vnd.oci.image.layer.v1.tar+gzip',
  'application/vnd.docker.image.rootfs.diff.tar',
  'application/vnd.docker.image.rootfs.diff.tar.gzip',
]

/** An image whose config has not been read yet. */
export interface ConvertibleImage {
  config: { digest: Digest; size: number }
  /** Base first. */
  layers: Digest[]
}

/** Checks from the manifest alone whether an image of schema 2 or OCI can be converted. */
export function convertible({
  config,
  layers,
  artifactType,
}: Pick<ManifestParts, 'config' | 'layers' | 'artifactType'>): ConvertibleImage | Refusal {
  if (artifactType !== undefined) return { refusal: `it is an artifact of type ${artifactType}` }
  if (config === undefined || !isImageConfig(config.mediaType)) {
    return { refusal: `it is an artifact: its config is of type ${config?.mediaType ?? 'none'}` }
  }
  const other = layers.find(({ mediaType }) => !READABLE_LAYERS.includes(mediaType))
  if (other !== undefined) {
    return { refusal: `these clients cannot read its layer ${other.digest} of type ${other.mediaType}` }
  }
  return { config, layers: layers.map(({ digest }) => digest) }
}

/** The name and tag to convert an image for: a schema 1 manifest contains them. */
export interface ConversionName {
  name: string
  tag: string
}

/**
 * Converts an image using the history in its config. Each step becomes one schema 1 layer, which is EMPTY_LAYER if the
 * step changed no file. The uncompressed digests in the config are ignored. The ids are the same as those that Docker's
 * own registry generates.
 *
 * @param config the bytes of the config blob
 */
export function convertImage(
  { name, tag }: ConversionName,
  layers: readonly Digest[],
  config: Uint8Array,
): Conversion | Refusal {
  if (isNestedDeep(config)) return { refusal: `its config nests deeper than ${JSON_LEVELS_MAX} levels` }
  const image = readConfig(config)
  if (image === undefined) return { refusal: 'its config is not that of an image' }
  const steps = historyOf(image, layers.length)
  if (steps.length === 0) return { refusal: 'it has no layers' }
  if (steps.length > HISTORY_ENTRIES_MAX) {
    return { refusal: `its history has ${steps.length} entries, more than ${HISTORY_ENTRIES_MAX}` }
  }
  const blobs = blobsOf(steps, layers)
  if (blobs === undefined) {
    return { refusal: `its history does not have one entry for each of its ${layers.length} layers` }
  }
  const { architecture } = image
  const schema1: Schema1 = {
    name,
    tag,
    architecture: typeof architecture === 'string' ? architecture : 'amd64',
    layers: layersOf(image, steps, blobs, config),
  }
  return {
    schema1,
    payload: new Uint8Array(Buffer.from(formatSchema1(schema1))),
    hasEmptyLayer: blobs.includes(EMPTY_LAYER.digest),
  }
}

/** One entry of a config's history (image-spec, "Image Configuration"). */
interface Step {
  created: string | undefined
  createdBy: string
  author: string | undefined
  comment: string | undefined
  isEmpty: boolean
}

function readConfig(bytes: Uint8Array): Json | undefined {
  const config = parseLeniently(bytes)
  return isObject(config.rootfs) || Array.isArray(config.history) ? config : undefined
}

/** Returns the history, base first. A missing one becomes a step per layer, the last with the config's command. */
function historyOf(image: Json, layers: number): Step[] {
  const history = Array.isArray(image.history) ? image.history : []
  if (history.length > 0) return history.map(readStep)
  const words = stringsOf(objectOf(image.config).Cmd)
  return Array.from({ length: layers }, (_, index) =>
    readStep(index === layers - 1 ? { created: image.created, created_by: words.join(' ') } : {}),
  )
}

function readStep(entry: unknown): Step {
  const { created, created_by, author, comment, empty_layer } = objectOf(entry)
  return {
    created: isTime(created) ? created : undefined,
    createdBy: stringOf(created_by) ?? '',
    author: stringOf(author),
    comment: stringOf(comment),
    isEmpty: empty_layer === true,
  }
}

/** Returns the blob of each step, or undefined when the steps do not match the layers. */
function blobsOf(steps: Step[], layers: readonly Digest[]): Digest[] | undefined {
  let next = 0
  const blobs: Digest[] = []
  for (const step of steps) {
    const blob = step.isEmpty ? EMPTY_LAYER.digest : layers[next++]
    if (blob === undefined) return undefined
    blobs.push(blob)
  }
  return next === layers.length ? blobs : undefined
}

/** Returns the layers, leaf first. An id is a hash of the blob and all below it; the leaf's also of the config. */
function layersOf(image: Json, steps: Step[], blobs: Digest[], config: Uint8Array): Schema1Layer[] {
  let parent = ''
  const layers = steps.map((step, index) => {
    const blobSum = blobs[index] ?? EMPTY_LAYER.digest
    const isLeaf = index === steps.length - 1
    const hash = createHash('sha256').update(`${hexOf(blobSum)} ${parent}`)
    const id = (isLeaf ? hash.update(' ').update(config) : hash).digest('hex')
    const v1 = isLeaf ? leafOf(image, step, id, parent) : stepOf(step, id, parent)
    parent = id
    return { blobSum, v1Compatibility: JSON.stringify(v1) }
  })
  return layers.reverse()
}

/** Returns the JSON of a step without unknown fields. Docker requires only the time. */
function stepOf(step: Step, id: string, parent: string): Json {
  return {
    id,
    parent: parent || undefined,
    comment: step.comment,
    created: step.created ?? '0001-01-01T00:00:00Z',
    container_config: { Cmd: [step.createdBy] },
    author: step.author,
    throwaway: step.isEmpty || undefined,
  }
}

/** Returns the config as a V1 image. Fields that the config lacks come from its step. */
function leafOf(image: Json, step: Step, id: string, parent: string): Json {
  const { rootfs: _, history: __, ...config } = image
  const { created, container_config, author, comment } = stepOf(step, id, parent)
  return {
    ...config,
    created: isTime(config.created) ? config.created : created,
    container_config: isObject(config.container_config) ? config.container_config : container_config,
    author: stringOf(config.author) ?? author,
    comment: stringOf(config.comment) ?? comment,
    id,
    parent: parent || undefined,
    throwaway: step.isEmpty || undefined,
  }
}
