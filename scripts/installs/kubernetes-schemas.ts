import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { goModule } from '../toolchain/go-tool.ts'

const kubernetes = { module: 'k8s.io/kubernetes', version: 'v1.37.2' }
const operator = { module: 'github.com/prometheus-operator/prometheus-operator', version: 'v0.93.0' }

/** A part of a schema, as Kubernetes publishes it. */
type Schema = { [key: string]: unknown }

/**
 * Writes the schemas of Kubernetes and of ServiceMonitor, from the Go modules that publish them, and returns the location for
 * kubeconform.
 */
export async function writeSchemas(folder: string): Promise<string> {
  await mkdir(folder)
  const source = await goModule(kubernetes.module, kubernetes.version)
  const { definitions } = await Bun.file(join(source, 'api/openapi-spec/swagger.json')).json()
  const kinds: Record<string, Schema> = strict(definitions) as Record<string, Schema>
  kinds['io.k8s.apimachinery.pkg.util.intstr.IntOrString'] = { type: ['string', 'integer'] }
  kinds['io.k8s.apimachinery.pkg.api.resource.Quantity'] = { type: ['string', 'number'] }
  for (const [name, schema] of Object.entries(kinds)) {
    const names = (schema['x-kubernetes-group-version-kind'] ?? []) as Record<string, string>[]
    for (const { group = '', version = '', kind = '' } of names) {
      const document = { $ref: `#/definitions/${name}`, definitions: kinds }
      await Bun.write(join(folder, fileOf(group, version, kind)), JSON.stringify(document))
    }
  }
  const crd = join(await goModule(operator.module, operator.version), 'example/prometheus-operator-crd')
  const text = await Bun.file(join(crd, 'monitoring.coreos.com_servicemonitors.yaml')).text()
  const { spec } = Bun.YAML.parse(text) as { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } }
  const monitor = strict(spec.versions[0]?.schema.openAPIV3Schema)
  await Bun.write(
    join(folder, fileOf('monitoring.coreos.com', 'v1', 'ServiceMonitor')),
    JSON.stringify(monitor),
  )
  return `${folder}/{{ .ResourceKind }}{{ .KindSuffix }}.json`
}

/** Returns the name by which kubeconform looks for a schema: the kind, the first word of the group, and the version. */
function fileOf(group: string, version: string, kind: string): string {
  const [first = ''] = group.split('.')
  return `${[kind.toLowerCase(), first, version].filter((part) => part !== '').join('-')}.json`
}

/** Refuses members that a schema does not know, so that a misspelt one is found. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict)
  if (typeof schema !== 'object' || schema === null) return schema
  const entries = Object.entries(schema).map(([key, value]) => [key, strict(value)])
  const made: Schema = Object.fromEntries(entries)
  const isObject = typeof made.properties === 'object' && made.type === 'object'
  if (isObject && made.additionalProperties === undefined) made.additionalProperties = false
  return made
}
