"""Operations in a transaction, of the application or of a job, written once for blocking and asyncio sessions."""
