import { useState } from 'preact/hooks'
import { type Answer, fetchText, urlOf } from '../../server/api.ts'
import { useResource } from '../../server/resource.ts'
import { countOf, visible } from '../../values/format.ts'
import { PACKAGES_MAX, readSbom, type SbomPackage } from '../../values/sbom.ts'
import { Filter } from '../forms/filter.tsx'
import { Empty, Failure } from '../states.tsx'
import { type Column, DataTable } from '../tables/data-table.tsx'
import { Bytes, ClientText } from '../tables/values.tsx'
import { annotationOf } from './layers.tsx'

/** The largest document that is read as an SBOM, in bytes. */
const SBOM_BYTES_MAX = 16 * 1024 * 1024

type Layer = Answer<'repositories/:repository/manifests/:reference'>['layers'][number]

const columns: Column<SbomPackage>[] = [
  { title: 'Package', cell: ({ name }) => <b>{visible(name)}</b> },
  { title: 'Version', cell: ({ version }) => visible(version) },
  { title: 'License', class: 'wide', cell: ({ license }) => visible(license) },
  { title: 'Source', class: 'wider', cell: ({ source }) => <ClientText text={source} /> },
]

/** The packages of an SBOM, if one of the layers is one. */
export function SbomPackages({ repository, layers }: { repository: string; layers: Layer[] }) {
  const [q, setQ] = useState('')
  const layer = sbomOf(layers)
  const isShown = layer !== undefined && layer.bytes <= SBOM_BYTES_MAX
  const url = urlOf('repositories/:repository/blobs/:digest', {
    params: { repository, digest: layer?.digest ?? '' },
  })
  const found = useResource(
    isShown ? url : undefined,
    async (signal) => readSbom(await fetchText(url, signal, SBOM_BYTES_MAX)) ?? [],
  )
  if (layer === undefined) return null
  if (!isShown) {
    return (
      <p class="card muted">
        The SBOM has <Bytes of={layer.bytes} />, too much to show its packages. Download it instead.
      </p>
    )
  }
  if (found.error) return <Failure error={found.error} retry={found.reload} />
  const packages = found.data ?? []
  if (packages.length === 0) return null
  const text = q.toLowerCase()
  const items = packages.filter(({ name, version, license }) =>
    `${name} ${version} ${license}`.toLowerCase().includes(text),
  )
  return (
    <section class="card">
      <header>
        <h2>
          {packages.length >= PACKAGES_MAX && 'The first '}
          {countOf(packages.length, 'package')}
        </h2>
        <Filter label="Filter packages" value={q} set={setQ} />
      </header>
      <DataTable
        label="Packages"
        columns={columns}
        pages={{ items, hasMore: false, error: undefined, isLoading: false, more: () => {} }}
        keyOf={(one) => `${packages.indexOf(one)}`}
        empty={<Empty title="No package matches" />}
      />
    </section>
  )
}

/** Returns the layer that is an SBOM, or may contain one. */
function sbomOf(layers: Layer[]): Layer | undefined {
  const possible = layers.filter(
    ({ mediaType, exists }) => exists && /spdx|cyclonedx|syft|in-toto|dsse/i.test(mediaType),
  )
  const named = possible.find((layer) =>
    /spdx|cyclonedx/i.test(annotationOf(layer, 'in-toto.io/predicate-type') ?? layer.mediaType),
  )
  return named ?? possible[0]
}
