import { expect, test } from 'bun:test'
import { pullCommands } from '../../src/page/values/pull-commands.ts'

const clientsOf = (kind: string) => pullCommands(kind, 'r.example', 'a/b', '1.0_x').map(([client]) => client)

test('page: each kind has the commands of the clients that can pull it', () => {
  expect(clientsOf('Container image')).toContain('docker')
  expect(clientsOf('Image index')).toContain('podman')
  expect(clientsOf('Helm chart')).toEqual(['helm', 'helm install'])
  expect(clientsOf('SPDX SBOM')).toContain('oras')
})

test('page: a chart is pulled by its version, in which "_" stands for "+"', () => {
  expect(pullCommands('Helm chart', 'r.example', 'a/b', '1.0_x')[0]).toEqual([
    'helm',
    'helm pull oci://r.example/a/b --version 1.0+x',
  ])
})

test('page: a digest is pulled with "@"', () => {
  expect(pullCommands('Container image', 'r.example', 'a', 'sha256:00')[0]?.[1]).toBe(
    'docker pull r.example/a@sha256:00',
  )
})
