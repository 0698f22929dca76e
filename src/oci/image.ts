import { type Descriptor, descriptors, optionalDescriptor, parseObject } from './manifest.ts'

/** The parts of an image manifest, in their order. */
export interface Image {
  config: Descriptor | undefined
  /** The base first. A layer may be there many times. */
  layers: Descriptor[]
  artifactType: string | undefined
}

/** An entry of an index, with the platform that it is for. */
export interface IndexEntry extends Descriptor {
  platform: { os?: unknown; architecture?: unknown; variant?: unknown }
}

/** Reads a manifest as an image (image-spec, "Image Manifest"). Throws MANIFEST_INVALID. */
export function readImage(bytes: Uint8Array): Image {
  const { config, layers, artifactType } = parseObject(bytes)
  return {
    config: optionalDescriptor(config, 'config'),
    layers: descriptors(layers, 'layers'),
    artifactType: typeof artifactType === 'string' && artifactType !== '' ? artifactType : undefined,
  }
}

/**
 * The entry of an index for an operating system and architecture (image-spec, "Image Index"); one without a variant
 * comes first. Throws MANIFEST_INVALID.
 */
export function findPlatform(
  bytes: Uint8Array,
  platform: { os: string; architecture: string },
): IndexEntry | undefined {
  const { manifests } = parseObject(bytes)
  const entries = descriptors(manifests, 'manifests').map((entry, index) => ({
    ...entry,
    platform: platformOf((manifests as unknown[])[index]),
  }))
  const fitting = entries.filter(
    (entry) => entry.platform.os === platform.os && entry.platform.architecture === platform.architecture,
  )
  return fitting.find((entry) => entry.platform.variant === undefined) ?? fitting[0]
}

function platformOf(entry: unknown): IndexEntry['platform'] {
  const { platform } = entry as { platform?: unknown }
  return typeof platform === 'object' && platform !== null ? platform : {}
}
