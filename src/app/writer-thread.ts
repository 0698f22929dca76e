import { serveWrites } from '../database/writer.ts'
import { operations, VOLATILE } from '../operations.ts'

serveWrites({ operations, volatile: VOLATILE })
