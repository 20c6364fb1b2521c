-- What the database's owner runs once in an Ed-Fi ODS on PostgreSQL (data standard 4 or 5), so that the exchange reads
-- names in place of the numbers of descriptors and persons, and nothing else. Grant SELECT on schema kith to its user.
CREATE SCHEMA IF NOT EXISTS kith;

CREATE OR REPLACE VIEW kith.code AS
SELECT descriptorid, namespace || '#' || codevalue AS code FROM edfi.descriptor;

CREATE OR REPLACE VIEW kith.student AS
SELECT s.studentuniqueid, s.firstname, s.middlename, s.lastsurname, s.generationcodesuffix, s.preferredfirstname,
       s.preferredlastsurname, s.birthdate, sex.code AS birthsex, s.lastmodifieddate
FROM edfi.student s LEFT JOIN kith.code sex ON sex.descriptorid = s.birthsexdescriptorid;

CREATE OR REPLACE VIEW kith.enrollment AS
SELECT s.studentuniqueid, a.schoolid, a.schoolyear, a.entrydate, grade.code AS entrygradelevel, entry.code AS entrytype,
       a.exitwithdrawdate, leaving.code AS exitwithdrawtype, a.lastmodifieddate
FROM edfi.studentschoolassociation a
JOIN edfi.student s USING (studentusi)
LEFT JOIN kith.code grade ON grade.descriptorid = a.entrygradeleveldescriptorid
LEFT JOIN kith.code entry ON entry.descriptorid = a.entrytypedescriptorid
LEFT JOIN kith.code leaving ON leaving.descriptorid = a.exitwithdrawtypedescriptorid;

CREATE OR REPLACE VIEW kith.attendance AS
SELECT s.studentuniqueid, a.schoolid, a.schoolyear, a.sessionname, a.eventdate, category.code AS attendanceeventcategory,
       a.eventduration, a.lastmodifieddate
FROM edfi.studentschoolattendanceevent a
JOIN edfi.student s USING (studentusi)
JOIN kith.code category ON category.descriptorid = a.attendanceeventcategorydescriptorid;

CREATE OR REPLACE VIEW kith.behavior AS
SELECT s.studentuniqueid, b.schoolid, b.incidentidentifier, behavior.code AS behavior, b.behaviordetaileddescription,
       i.incidentdate, i.reportedtolawenforcement, i.casenumber,
       greatest(b.lastmodifieddate, i.lastmodifieddate) AS lastmodifieddate
FROM edfi.studentdisciplineincidentbehaviorassociation b
JOIN edfi.student s USING (studentusi)
JOIN edfi.disciplineincident i USING (incidentidentifier, schoolid)
JOIN kith.code behavior ON behavior.descriptorid = b.behaviordescriptorid;

CREATE OR REPLACE VIEW kith.action AS
SELECT s.studentuniqueid, a.disciplineactionidentifier, a.disciplinedate, discipline.code AS discipline,
       a.actualdisciplineactionlength, b.incidentidentifier, b.schoolid, i.incidentdate,
       greatest(a.lastmodifieddate, i.lastmodifieddate) AS lastmodifieddate
FROM edfi.disciplineaction a
JOIN edfi.student s USING (studentusi)
JOIN edfi.disciplineactiondiscipline d USING (disciplineactionidentifier, disciplinedate, studentusi)
JOIN kith.code discipline ON discipline.descriptorid = d.disciplinedescriptorid
LEFT JOIN edfi.disciplineactionstudentdisciplineincidentbehaviorassociation b
       USING (disciplineactionidentifier, disciplinedate, studentusi)
LEFT JOIN edfi.disciplineincident i ON i.incidentidentifier = b.incidentidentifier AND i.schoolid = b.schoolid;

CREATE OR REPLACE VIEW kith.contact AS
SELECT c.contactuniqueid, c.firstname, c.middlename, c.lastsurname, c.generationcodesuffix, sex.code AS sex, c.lastmodifieddate
FROM edfi.contact c LEFT JOIN kith.code sex ON sex.descriptorid = c.sexdescriptorid;

CREATE OR REPLACE VIEW kith.contact_link AS
SELECT s.studentuniqueid, c.contactuniqueid, relation.code AS relation, a.legalguardian, a.liveswith, a.contactrestrictions,
       a.lastmodifieddate
FROM edfi.studentcontactassociation a
JOIN edfi.student s USING (studentusi)
JOIN edfi.contact c USING (contactusi)
LEFT JOIN kith.code relation ON relation.descriptorid = a.relationdescriptorid;
