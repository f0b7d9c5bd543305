// The declarations are written once, beside the CommonJS form.
export * from './index.cjs'
