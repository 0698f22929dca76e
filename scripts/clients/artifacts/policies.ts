import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { join } from 'node:path'
import type { Client } from '../client.ts'
import { Published } from '../published.ts'

const policy = `package main

import rego.v1

deny contains message if {
  input.replicas < 2
  message := sprintf("%d replicas are too few", [input.replicas])
}
`

/** conftest: policies as a manifest without a media type, which it tags by a second push. */
export const conftest: Client = {
  name: 'conftest',
  tools: ['conftest'],
  cases: {
    async 'push, pull, test with it and delete'({ registry, folder, run }) {
      await writePolicy(folder)
      const name = `${registry}/conftest/policies:1`
      await run`conftest push --tls=false --policy policy ${name}`
      await run`conftest pull --tls=false --policy pulled ${name}`
      await run`diff --recursive policy pulled/policy`
      await run`conftest test --policy pulled replicas-3.json`
      await rejects(run`conftest test --policy pulled replicas-1.json`, /1 replicas are too few/)
      const published = new Published(registry, 'conftest/policies')
      await published.expectTags('1')
      const { json, mediaType } = await published.manifest('1')
      equal(mediaType, 'application/vnd.oci.image.manifest.v1+json')
      equal(json.layers[0].mediaType, 'application/vnd.cncf.openpolicyagent.policy.layer.v1+rego')
      await published.delete('1')
      await rejects(run`conftest pull --tls=false --policy again ${name}`, /not found/)
    },
  },
}

/** opa: runs a bundle that it pulls from the registry itself. */
export const opa: Client = {
  name: 'opa',
  tools: ['opa', 'oras'],
  cases: {
    async 'a bundle pushed by oras, run by opa'({ registry, folder, run }) {
      await writePolicy(folder)
      await run`opa build --bundle policy --output bundle.tar.gz`
      await Bun.write(join(folder, 'config.json'), '{}')
      const name = `${registry}/opa/bundle:1`
      const types = ['--config', 'config.json:application/vnd.oci.image.config.v1+json']
      const layer = 'bundle.tar.gz:application/vnd.oci.image.layer.v1.tar+gzip'
      await run`oras push --plain-http ${types} ${name} ${layer}`
      const configuration = {
        services: { cay: { url: `http://${registry}`, type: 'oci' } },
        bundles: { policies: { service: 'cay', resource: name } },
        persistence_directory: join(folder, 'pulled'),
      }
      await Bun.write(join(folder, 'opa.json'), JSON.stringify(configuration))
      const command = ['opa', 'exec', '--config-file', 'opa.json', '--decision', 'main/deny']
      const { result } = JSON.parse(await run`${command} replicas-1.json replicas-3.json`)
      deepEqual(
        result.map((decided: { result: string[] }) => decided.result),
        [['1 replicas are too few'], []],
      )
      const published = new Published(registry, 'opa/bundle')
      const { json } = await published.manifest('1')
      deepEqual(
        await published.blob(json.layers[0].digest),
        await Bun.file(join(folder, 'bundle.tar.gz')).bytes(),
      )
      await published.delete('1')
      await rejects(run`${command} replicas-1.json`, (error: Error) => {
        match(error.message, /not found|404/)
        return true
      })
    },
  },
}

async function writePolicy(folder: string): Promise<void> {
  await Bun.write(join(folder, 'policy', 'main.rego'), policy)
  for (const replicas of [1, 3])
    await Bun.write(join(folder, `replicas-${replicas}.json`), JSON.stringify({ replicas }))
}
