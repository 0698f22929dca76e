import { useSignal } from '@preact/signals'
import { fetchText, urlOf } from '../api.ts'
import { countOf, visible } from '../format.ts'
import { useResource } from '../resource.ts'
import { readSbom, type SbomPackage } from '../sbom.ts'
import { type Column, DataTable } from './data-table.tsx'
import { Filter } from './filter.tsx'
import { Empty } from './states.tsx'
import { ClientText } from './values.tsx'

/** The largest document that is read as an SBOM, in bytes. */
const SBOM_BYTES_MAX = 16 * 1024 * 1024

interface SbomLayer {
  digest: string
  mediaType: string
  bytes: number
}

const columns: Column<SbomPackage>[] = [
  { title: 'Package', cell: ({ name }) => <b>{visible(name)}</b> },
  { title: 'Version', cell: ({ version }) => visible(version) },
  { title: 'License', class: 'wide', cell: ({ license }) => visible(license) },
  { title: 'Source', class: 'wider', cell: ({ source }) => <ClientText text={source} /> },
]

/** The packages of an SBOM, if one of the layers is one. */
export function SbomPackages({ repository, layers }: { repository: string; layers: SbomLayer[] }) {
  const q = useSignal('')
  const layer = layers.find(
    ({ mediaType, bytes }) => /spdx|cyclonedx|syft|in-toto|dsse/i.test(mediaType) && bytes <= SBOM_BYTES_MAX,
  )
  const url =
    layer && urlOf('repositories/:repository/blobs/:digest', { params: { repository, digest: layer.digest } })
  const found = useResource(url, async (signal) => readSbom(await fetchText(url ?? '', signal)) ?? [])
  const packages = found.data ?? []
  if (packages.length === 0) return null
  const text = q.value.toLowerCase()
  const items = packages.filter(({ name, version, license }) =>
    `${name} ${version} ${license}`.toLowerCase().includes(text),
  )
  return (
    <section class="card">
      <header>
        <h2>{countOf(packages.length, 'package')}</h2>
        <Filter
          label="Filter packages"
          value={q.value}
          set={(value) => {
            q.value = value
          }}
        />
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
