import { equal } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { encode, mediaTypes, sha256 } from '../../lib/image.ts'
import type { Client } from '../client.ts'
import { Published } from '../published.ts'
import { describe, describeFile, Replay } from '../replay.ts'

/** singularity, which is replayed: `go list -m github.com/sylabs/singularity/v4@latest` says "module version is not available". */
export const singularity: Client = {
  name: 'singularity',
  tools: [],
  cases: {
    async 'push, pull and delete of a SIF'({ registry, folder }) {
      const [replay, published] = [
        new Replay(registry, 'singularity/sif'),
        new Published(registry, 'singularity/sif'),
      ]
      const launch = '#!/usr/bin/env run-singularity\n'.padEnd(32, '\0')
      await Bun.write(
        join(folder, 'alpine.sif'),
        Buffer.concat([Buffer.from(`${launch}SIF_MAGIC\0`), randomBytes(5_000_000)]),
      )
      await Bun.write(join(folder, 'config.json'), '{}')
      const [sif, config] = [
        await describeFile(join(folder, 'alpine.sif')),
        await describeFile(join(folder, 'config.json')),
      ]
      for (const file of [config, sif]) await replay.pushByPatch(file)
      const title = { 'org.opencontainers.image.title': 'alpine.sif' }
      const manifest = encode({
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        config: describe(config, 'application/vnd.sylabs.sif.config.v1+json'),
        layers: [{ ...describe(sif, 'application/vnd.sylabs.sif.layer.v1.sif'), annotations: title }],
      })
      await replay.pushManifest(manifest, '1')
      await published.expectTags('1')
      equal((await published.manifest('1')).digest, sha256(manifest))
      equal(sha256(await published.blob(sif.digest)), sif.digest)
      await published.delete('1')
    },
  },
}
