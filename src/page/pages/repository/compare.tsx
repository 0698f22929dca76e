import { useLocation } from 'preact-iso'
import { Card } from '../../parts/card.tsx'
import { InlineForm, NameInput } from '../../parts/forms/inline-form.tsx'
import { FileChanges } from '../../parts/image/file-changes.tsx'
import { PageHeader } from '../../parts/page-header.tsx'
import { Empty, Shown } from '../../parts/states.tsx'
import { Bytes, DigestText } from '../../parts/tables/values.tsx'
import { repositoryPath } from '../../routes.ts'
import { call } from '../../server/api.ts'
import { useResource } from '../../server/resource.ts'
import { type Comparison, compare, type Difference } from '../../values/comparison.ts'
import { countOf, shortDigest, visible } from '../../values/format.ts'

/** Compares two tags or digests of a repository. */
export function Compare({ repository }: { repository: string }) {
  const { query, route } = useLocation()
  const { from = '', to = '' } = query
  const load = (reference: string, signal: AbortSignal) =>
    call('get', 'repositories/:repository/manifests/:reference', {
      params: { repository, reference },
      signal,
    })
  const isAsked = from !== '' && to !== ''
  const found = useResource(isAsked ? `compare ${repository} ${from} ${to}` : undefined, async (signal) =>
    compare(...(await Promise.all([load(from, signal), load(to, signal)]))),
  )
  const submit = (asked: Record<string, string>) =>
    route(`${repositoryPath(repository, 'compare')}?${new URLSearchParams(asked)}`, true)
  return (
    <>
      <PageHeader
        title="Compare"
        trail={[
          ['Repositories', '/repositories'],
          [repository, repositoryPath(repository)],
        ]}
      />
      <InlineForm submit={submit}>
        <NameInput label="From" name="from" required defaultValue={from} placeholder="tag or digest" />
        <NameInput label="To" name="to" required defaultValue={to} placeholder="tag or digest" />
        <button type="submit" class="primary">
          Compare
        </button>
      </InlineForm>
      {isAsked && (
        <Shown of={found}>{(comparison) => <Result repository={repository} of={comparison} />}</Shown>
      )}
      {isAsked && found.data?.platforms.length === 0 && (
        <FileChanges key={`${from} ${to}`} repository={repository} from={from} to={to} />
      )}
    </>
  )
}

function Result({ repository, of }: { repository: string; of: Comparison }) {
  const { platforms, config, labels } = of
  const layers = [of.sharedLayers, of.removedLayers, of.addedLayers]
  const isSame = [platforms, config, labels, of.removedLayers, of.addedLayers].every(
    (list) => list.length === 0,
  )
  return (
    <>
      {isSame && <Empty title="No differences" />}
      {layers.some((list) => list.length > 0) && (
        <Card title="Layers">
          <LayerList name="Only in the first" sign="−" layers={of.removedLayers} />
          <LayerList name="Only in the second" sign="+" layers={of.addedLayers} />
          <LayerList name="In both" sign="=" layers={of.sharedLayers} />
        </Card>
      )}
      {platforms.length > 0 && (
        <Card title="Platforms">
          <ul class="lines">
            {platforms.map(({ name, from, to }) => (
              <li key={name} class="between">
                <b>{visible(name)}</b>
                <span class="from-to">
                  {from ? <DigestText of={from} /> : 'none'} → {to ? <DigestText of={to} /> : 'none'}
                  {from && to && (
                    <a href={`${repositoryPath(repository, 'compare')}?${new URLSearchParams({ from, to })}`}>
                      Compare
                    </a>
                  )}
                </span>
              </li>
            ))}
          </ul>
        </Card>
      )}
      <Differences title="Configuration" of={config} />
      <Differences title="Labels and annotations" of={labels} />
    </>
  )
}

function LayerList({
  name,
  sign,
  layers,
}: {
  name: string
  sign: string
  layers: Comparison['sharedLayers']
}) {
  if (layers.length === 0) return null
  const bytes = layers.reduce((sum, layer) => sum + layer.bytes, 0)
  return (
    <>
      <h3>
        {name}: {countOf(layers.length, 'layer')}, <Bytes of={bytes} />
      </h3>
      <ol class="layers">
        {layers.map((layer, index) => (
          <li key={`${layer.digest} ${index}`}>
            <b aria-hidden>{sign}</b>
            <code class="made-by">{visible(layer.createdBy ?? layer.mediaType)}</code>
            <Bytes of={layer.bytes} />
            <code>{shortDigest(layer.digest)}</code>
          </li>
        ))}
      </ol>
    </>
  )
}

function Differences({ title, of }: { title: string; of: Difference[] }) {
  if (of.length === 0) return null
  return (
    <Card title={title}>
      <dl class="facts differences">
        {of.map(({ name, from, to }) => (
          <div key={name}>
            <dt>
              <code>{visible(name)}</code>
            </dt>
            <dd>
              {from !== undefined && <del>{visible(from)}</del>}
              {to !== undefined && <ins>{visible(to)}</ins>}
            </dd>
          </div>
        ))}
      </dl>
    </Card>
  )
}
