import type { Config } from '../../config/config-schema.ts'
import type { IdleMemory } from '../../idle-memory.ts'
import type { ContentReader } from '../content-reader.ts'
import { type ConversionRegistry, Conversions } from './conversions.ts'
import { type ConversionOptions, localConversions } from './local-conversions.ts'
import { NegotiatedManifests } from './manifest-pulls.ts'
import { V1Images } from './v1-images.ts'

export interface PullsOptions extends ConversionOptions {
  registry: ConversionRegistry
  /** The local content only. */
  local: ConversionRegistry
  config: Config
  reader: ContentReader
  idleMemory: IdleMemory
}

/** Opens what serves content in other formats than it was pushed in. `v1Images` is undefined where it is off. */
export async function openPulls(options: PullsOptions) {
  const { registry, local, config, metadata, reader, now, idleMemory } = options
  const conversions = new Conversions(registry, localConversions(options), reader, now)
  const v1Images = config.docker.v1 ? await V1Images.open(metadata, local, conversions, now) : undefined
  const pulls = new NegotiatedManifests(registry.manifests, conversions, config.docker.schema1.pull)
  for (const one of [conversions, pulls]) idleMemory.add(one)
  if (v1Images !== undefined) idleMemory.add(v1Images)
  return { pulls, v1Images }
}
